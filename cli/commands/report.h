// SPDX-License-Identifier: MIT
// `kudo-agent report`: one page to hand on, and reading it back.
// Invariant: reading only, but for the file that is asked for, which its user's own process writes: the service knows
// no option that names one.
#pragma once

#include "cli/arguments/command.h"

namespace kudo {

Run setup_report(CLI::App& app);
Run setup_report_in_service(CLI::App& app); // prints the report's document

} // namespace kudo
