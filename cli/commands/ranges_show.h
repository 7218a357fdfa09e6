// SPDX-License-Identifier: MIT
// `kudo-agent ranges show`.
#pragma once

#include "cli/arguments/command.h"

namespace kudo {

Run setup_ranges_show(CLI::App& app);

} // namespace kudo
