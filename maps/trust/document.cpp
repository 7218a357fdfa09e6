// SPDX-License-Identifier: MIT
#include "maps/trust/document.h"

#include "maps/document/parse_range_map.h"

namespace kudo {

Result<Document> parse_document(const Json& root, std::string_view name) {
    if (is_key_set(root)) return KUDO_TRY(key_set_from(root).in(name));
    if (is_vendor_list(root)) return KUDO_TRY(vendor_list_from(root).in(name));
    return KUDO_TRY(range_map_from(root).in(name));
}

Result<Document> parse_document_text(std::string_view json, std::string_view name) {
    return parse_document(KUDO_TRY(read_json(json).in(name)), name);
}

} // namespace kudo
