// SPDX-License-Identifier: MIT
// `kudo-agent run`.
#pragma once

#include "cli/arguments/command.h"

namespace kudo {

Run setup_run(CLI::App& app);

} // namespace kudo
