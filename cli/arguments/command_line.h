// SPDX-License-Identifier: MIT
// Reads a command line and the config file.
// Invariant: nothing has happened yet when this returns; all that is wrong with the words is a BadInput error of one
// line.
#pragma once

#include "cli/arguments/command.h"

namespace kudo {

struct Invocation {
    GlobalOptions options;
    Run run; // also prints help and version
};

// `commands`: every command that there is.
Result<Invocation> parse_command_line(const std::vector<Command>& commands, int argc, const char* const* argv);

// The same declarations without parsing anything, for manual pages and completion. `app` and `invocation` are used only
// while both are there.
void declare_program(CLI::App& app, const std::vector<Command>& commands, Invocation& invocation);

} // namespace kudo
