// SPDX-License-Identifier: MIT
// Which domain names a range map may hold.
// Included by the reader of services.
// Invariant: an accepted domain is canonical: lower case, no final dot; equal names are equal strings.
#pragma once

#include <string_view>

#include "maps/result.h"

namespace kudo {

// "live.kudoway.ca" or "*.kudoway.ca": letters, digits, hyphens (RFC 1123), at least two labels below the wildcard,
// the last of them not a number.
Result<void> check_domain(std::string_view text);

} // namespace kudo
