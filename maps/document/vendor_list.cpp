// SPDX-License-Identifier: MIT
#include "maps/document/vendor_list.h"

#include <algorithm>
#include <array>

#include "maps/document/fields.h"
#include "maps/document/guards.h"

namespace kudo {
namespace {

constexpr std::array<Field, 2> list_fields{{{"ipv4"}, {"ipv6", false}}};

} // namespace

bool is_vendor_list(const Json& root) {
    return check_fields(root, "", list_fields).has_value();
}

Result<VendorList> vendor_list_from(const Json& root) {
    KUDO_TRY(check_fields(root, "", list_fields));
    VendorList list{KUDO_TRY(read_ranges(root, ""))};
    if (list.ranges.empty()) return wrong("ipv4", "empty; the list would take every media range away");
    return list;
}

Result<RangeMap> apply_vendor_list(RangeMap base, const VendorList& list, std::string_view name) {
    const auto media = std::ranges::find(base.services, "media", &Service::name);
    if (media == base.services.end())
        return bad_input(std::string(name) +
                         ": the current range map has no service \"media\" that the list could fill");
    media->ranges = list.ranges;
    // The signer of the map meant its own step from the map before; what it says of its ranges stays true of them.
    for (const Guard guard : {Guard::Shrink, Guard::SerialLeap})
        std::erase(base.overrides, guard_name(guard));
    return base;
}

} // namespace kudo
