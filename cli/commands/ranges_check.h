// SPDX-License-Identifier: MIT
// `kudo-agent ranges check`.
#pragma once

#include "cli/arguments/command.h"

namespace kudo {

Run setup_ranges_check(CLI::App& app);

} // namespace kudo
