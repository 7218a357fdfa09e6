// SPDX-License-Identifier: MIT
// Durations and percentages as people write them. Included by the fleet commands.
// Invariant: what is not exactly one number and one unit is refused.
#pragma once

#include <chrono>
#include <string_view>

#include "maps/result.h"

namespace kudo {

// "90s", "15m", "2h", "1d". `option` is what errors call it.
Result<std::chrono::seconds> parse_duration(std::string_view option, std::string_view text);

// "99%", "99.5%", "99": 0 to 100.
Result<double> parse_percentage(std::string_view option, std::string_view text);

} // namespace kudo
