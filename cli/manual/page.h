// SPDX-License-Identifier: MIT
// Manual pages in mdoc(7), one for the program and one for each command.
// Invariant: the same program and date give the same bytes.
#pragma once

#include <string>

#include "cli/manual/program.h"

namespace kudo {

// "kudo-agent-ranges-show", without the section.
std::string page_name(const ManualCommand& command);

// Section 1. `date`: "November 29, 2026". `more`: written sections in mdoc, put before SEE ALSO; each begins with .Sh.
std::string manual_page(const ManualCommand& program, const ManualCommand& command, const std::string& date,
                        const std::string& more);

} // namespace kudo
