// SPDX-License-Identifier: MIT
// `kudo-agent status`.
#pragma once

#include "cli/arguments/command.h"

namespace kudo {

Run setup_status(CLI::App& app);

} // namespace kudo
