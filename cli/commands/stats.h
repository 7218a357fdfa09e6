// SPDX-License-Identifier: MIT
// `kudo-agent stats`.
#pragma once

#include "cli/arguments/command.h"

namespace kudo {

Run setup_stats(CLI::App& app);

} // namespace kudo
