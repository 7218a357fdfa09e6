// SPDX-License-Identifier: MIT
// Reads a range map's file that somebody named.
// Invariant: never waits (pipes and devices are refused) and never reads more than a range map may hold.
#pragma once

#include <string>

#include "maps/base/result.h"

namespace kudo {

// Errors (BadInput) begin with the path.
Result<std::string> read_range_file(const std::string& path);

} // namespace kudo
