// SPDX-License-Identifier: MIT
// Times as range maps write them: RFC 3339, UTC, whole seconds.
// Invariant: parse_rfc3339(rfc3339(t)) == t for the years 0 to 9999.
#pragma once

#include <chrono>
#include <string>
#include <string_view>

#include "maps/base/result.h"

namespace kudo {

using Time = std::chrono::sys_seconds;

// "2022-03-01T00:00:00Z"
std::string rfc3339(Time time);
// Errors: BadInput, with the text and how it should look.
Result<Time> parse_rfc3339(std::string_view text);

} // namespace kudo
