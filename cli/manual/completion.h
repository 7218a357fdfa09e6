// SPDX-License-Identifier: MIT
// Completion of the command line for bash, zsh and fish.
// Invariant: the scripts run kudo-agent only for `ranges history`, and change nothing.
#pragma once

#include <string>

#include "cli/manual/program.h"

namespace kudo {

std::string bash_completion(const ManualCommand& program);
std::string zsh_completion(const ManualCommand& program);
std::string fish_completion(const ManualCommand& program);

} // namespace kudo
