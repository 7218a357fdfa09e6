// SPDX-License-Identifier: MIT
// Every command that there is, each in a file of its name.
// Invariant: a command that is not in commands() does not exist.
#pragma once

#include "cli/arguments/command.h"

namespace kudo {

const std::vector<Command>& commands();

} // namespace kudo
