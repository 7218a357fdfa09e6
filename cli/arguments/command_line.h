// SPDX-License-Identifier: MIT
// Reads a command line and the config file.
// Invariant: nothing has happened yet when this returns; all that is wrong with the words is a BadInput error of one
// line.
#pragma once

#include <string>
#include <vector>

#include "cli/arguments/command.h"

namespace kudo {

struct Invocation {
    GlobalOptions options;
    Run run; // also prints help and version
    // The command and its options, those of the config file among them, as parse_query() takes them; empty unless the
    // service answers it.
    std::vector<std::string> words;
    Answered answered = Answered::Here;
};

// `commands`: every command that there is.
Result<Invocation> parse_command_line(const std::vector<Command>& commands, int argc, const char* const* argv);

// The words of somebody without privileges: only commands that the service answers exist, with the options that it
// knows, and of the options of all commands none. No config file is read.
Result<Invocation> parse_query(const std::vector<Command>& commands, const std::vector<std::string>& words);

// The same declarations without parsing anything, for manual pages and completion. `app` and `invocation` are used only
// while both are there.
void declare_program(CLI::App& app, const std::vector<Command>& commands, Invocation& invocation);

} // namespace kudo
