// SPDX-License-Identifier: MIT
// What a publisher sends: a range map, a key set, or the vendor's bare list.
// Invariant: bytes are parsed once, after their signatures were verified; from there on the parsed value is handed on.
#pragma once

#include <string_view>
#include <variant>

#include "maps/document/range_map.h"
#include "maps/document/vendor_list.h"
#include "maps/trust/key_set.h"

namespace kudo {

using Document = std::variant<RangeMap, KeySet, VendorList>;

// A document that says it is a key set, of this version or another, is read as one, the vendor's list by its shape,
// everything else as a range map. `name` begins the errors (BadInput): "x.json: services[0].ipv4[3]: ...".
Result<Document> parse_document(const Json& root, std::string_view name);
// The same, from its bytes.
Result<Document> parse_document_text(std::string_view json, std::string_view name);

} // namespace kudo
