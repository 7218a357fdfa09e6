// SPDX-License-Identifier: MIT
// Spans of time and percentages as people write and read them.
// Invariant: what is not exactly one number and one unit is refused; errors begin with `option`, where it is given.
#pragma once

#include <chrono>
#include <string>
#include <string_view>

#include "maps/base/result.h"

namespace kudo {

// "90s", "5m", "12h", "7d"; "0" needs no unit. At most ten years.
Result<std::chrono::seconds> parse_duration(std::string_view text);
Result<std::chrono::seconds> parse_duration(std::string_view option, std::string_view text);
// As parse_duration(), and in milliseconds as well: "500ms".
Result<std::chrono::milliseconds> parse_wait(std::string_view option, std::string_view text);
// In the largest unit that gives a whole number of at least 2: "7d", "36h", "90s", "1500ms".
std::string duration_text(std::chrono::milliseconds duration);

// "99%", "99.5%", "99": 0 to 100.
Result<double> parse_percentage(std::string_view option, std::string_view text);

} // namespace kudo
