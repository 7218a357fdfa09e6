// SPDX-License-Identifier: MIT
// `kudo-agent report`: one page to hand on, and reading it back.
// Invariant: reading only, but for the file that is asked for.
#pragma once

#include "cli/arguments/command.h"

namespace kudo {

Run setup_report(CLI::App& app);

} // namespace kudo
