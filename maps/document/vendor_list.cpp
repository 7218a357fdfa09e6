// SPDX-License-Identifier: MIT
#include "maps/document/vendor_list.h"

#include <algorithm>
#include <array>

#include "maps/document/fields.h"

namespace kudo {
namespace {

constexpr std::array<Field, 2> list_fields{{{"ipv4"}, {"ipv6", false}}};

Result<std::vector<Range>> read_vendor_list(std::string_view json) {
    const auto root = KUDO_TRY(read_json(json));
    KUDO_TRY(check_fields(root, "", list_fields));
    auto ranges = read_ranges(root, "");
    if (ranges && ranges->empty()) return wrong("ipv4", "empty; the list would take every media range away");
    return ranges;
}

} // namespace

bool is_vendor_list(std::string_view json) {
    const auto root = read_json(json);
    return root && check_fields(*root, "", list_fields);
}

Result<RangeMap> apply_vendor_list(const RangeMap& base, std::string_view json, std::string_view name) {
    auto ranges = read_vendor_list(json);
    if (!ranges) return fail(std::move(ranges.error()).in(name));
    RangeMap map = base;
    const auto media = std::ranges::find(map.services, "media", &Service::name);
    if (media == map.services.end())
        return bad_input(std::string(name) +
                         ": the present range map has no service \"media\" that the list could fill");
    media->ranges = std::move(*ranges);
    return map;
}

} // namespace kudo
