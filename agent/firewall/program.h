// SPDX-License-Identifier: MIT
// Runs a program that prints something, for a short while.
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "maps/base/result.h"

namespace kudo::firewall {

// What the program writes to its standard output, at most 64 MiB, in this thread's network namespace. Errors: it is
// not there (ENOENT in the number), it did not end in time, or it failed, with its words.
Result<std::string> output_of(const std::vector<std::string>& argv,
                              std::chrono::milliseconds timeout = std::chrono::seconds(5));

} // namespace kudo::firewall
