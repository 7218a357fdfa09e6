// SPDX-License-Identifier: MIT
// Names of differentiated services code points.
// Invariant: a name that dscp_name() gives is read back as the same number.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "maps/base/result.h"

namespace kudo {

// "AF41" for 34; the number where it has no name.
std::string dscp_name(uint8_t dscp);
// A name (RFC 2474 CS0..CS7, RFC 2597 AF11..AF43, RFC 3246 EF, RFC 5865 VA, RFC 8622 LE; upper or lower case; DF and BE
// are CS0) or 0..63.
Result<uint8_t> parse_dscp(std::string_view text);

} // namespace kudo
