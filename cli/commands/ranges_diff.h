// SPDX-License-Identifier: MIT
// `kudo-agent ranges diff`.
#pragma once

#include "cli/arguments/command.h"

namespace kudo {

Run setup_ranges_diff(CLI::App& app);

} // namespace kudo
