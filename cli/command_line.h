// SPDX-License-Identifier: MIT
// Reads a command line and the config file.
// Included by main.cpp and the tests. Invariant: nothing has happened yet when this returns; all that is wrong with the
// words is a BadInput error of one line.
#pragma once

#include "cli/command.h"

namespace kudo {

struct Invocation {
    GlobalOptions options;
    Run run; // also prints help and version
};

Result<Invocation> parse_command_line(int argc, const char* const* argv);

} // namespace kudo
