// SPDX-License-Identifier: MIT
// `kudo-agent ranges history`.
#pragma once

#include "cli/arguments/command.h"

namespace kudo {

Run setup_ranges_history(CLI::App& app);

} // namespace kudo
