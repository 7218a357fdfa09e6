// SPDX-License-Identifier: MIT
// The vendor's own list of media ranges, which has neither serial nor signature.
#pragma once

#include <string_view>

#include "maps/document/json_document.h"
#include "maps/document/range_map.h"

namespace kudo {

struct VendorList {
    std::vector<Range> ranges; // at least one
};

// Is it the vendor's bare list: exactly {"ipv4": [...]} with an optional "ipv6" beside it?
bool is_vendor_list(const Json& root);
// Errors begin with the path of what is wrong. Canonical form is not demanded beyond what range_map_from() demands.
Result<VendorList> vendor_list_from(const Json& root);
// `base` with the ranges of its service "media" replaced by those of the list; everything else, the serial included,
// stays, but for the overrides "shrink" and "serial-leap". BadInput, beginning with `name`: there is no such service.
Result<RangeMap> apply_vendor_list(RangeMap base, const VendorList& list, std::string_view name);

} // namespace kudo
