// SPDX-License-Identifier: MIT
// The vendor's own list of media ranges, which has neither serial nor signature.
#pragma once

#include <string_view>

#include "maps/document/range_map.h"

namespace kudo {

// The vendor's bare list: exactly {"ipv4": [...]} with an optional "ipv6" beside it. Canonical form is not demanded of
// it beyond what parse_range_map() demands.
bool is_vendor_list(std::string_view json);
// `base` with the ranges of its service "media" replaced by those of the vendor's list; everything else, the serial
// included, stays.
Result<RangeMap> apply_vendor_list(const RangeMap& base, std::string_view json, std::string_view name);

} // namespace kudo
