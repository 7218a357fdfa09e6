// SPDX-License-Identifier: MIT
#include "maps/document/parse_range_map.h"

#include <algorithm>
#include <array>
#include <unordered_map>

#include <fmt/format.h>

#include "maps/base/text.h"
#include "maps/document/fields.h"
#include "maps/document/guards.h"
#include "maps/document/parse_service.h"

namespace kudo {
namespace {

constexpr std::array<Field, 9> map_fields{{{"format"},
                                           {"serial"},
                                           {"issued"},
                                           {"effective"},
                                           {"expires", false},
                                           {"audience", false},
                                           {"overrides", false},
                                           {"supersedes", false},
                                           {"services"}}};

Result<void> read_format(const Json& root) {
    const auto format = KUDO_TRY(read_text(root, "", "format"));
    if (format.value != range_map_format)
        return wrong("format",
                     fmt::format("{} is not known here; expected \"{}\"", quoted_text(format.value), range_map_format));
    return {};
}

Result<void> read_dates(RangeMap& map, const Json& root) {
    const auto issued = KUDO_TRY(read_time(root, "", "issued"));
    const auto effective = KUDO_TRY(read_time(root, "", "effective"));
    map.issued = issued;
    map.effective = effective;
    if (map.effective < map.issued)
        return wrong("effective", rfc3339(map.effective) + " is before the map was issued, " + rfc3339(map.issued));
    const auto entry = root.find("expires");
    if (entry == root.end() || entry->is_null()) return {};
    const auto expires = KUDO_TRY(read_time(root, "", "expires"));
    if (expires <= map.effective)
        return wrong("expires", rfc3339(expires) + " is not after the map takes effect, " + rfc3339(map.effective));
    map.expires = expires;
    return {};
}

Result<void> read_audience(RangeMap& map, const Json& root) {
    if (!root.contains("audience")) return {};
    const auto text = KUDO_TRY(read_text(root, "", "audience"));
    auto audience = Audience::parse(text.value);
    if (!audience) return wrong(text.path, audience.error().message);
    map.audience = std::move(*audience);
    return {};
}

Result<void> read_overrides(RangeMap& map, const Json& root) {
    auto overrides = KUDO_TRY(read_set(root, "", "overrides"));
    for (Text& text : overrides) {
        if (!guard_of(text.value))
            return wrong(text.path, quoted_text(text.value) + " is not a guard; expected wide-prefix, special-address, "
                                                              "own-address or shrink");
        map.overrides.push_back(std::move(text.value));
    }
    std::ranges::sort(map.overrides);
    return {};
}

Result<void> read_supersedes(RangeMap& map, const Json& root) {
    if (!root.contains("supersedes")) return {};
    const auto serial = KUDO_TRY(read_serial(root, "", "supersedes"));
    if (serial >= map.serial)
        return wrong("supersedes", fmt::format("{} is not lower than the map's own serial, {}", serial, map.serial));
    map.supersedes = serial;
    return {};
}

Result<void> read_services(RangeMap& map, const Json& root) {
    const Json& list = root.at("services");
    if (!list.is_array()) return wrong("services", "must be an array of objects");
    if (list.empty()) return wrong("services", "empty; a range map has at least one service");
    if (list.size() >= KUDO_MAX_SERVICES)
        return wrong("services", fmt::format("{} are too many; a range map has at most {} services", list.size(),
                                             KUDO_MAX_SERVICES - 1));
    std::unordered_map<std::string, std::size_t> first_of_name;
    for (const Json& value : list) {
        const std::string path = path_of("services", map.services.size());
        auto service = KUDO_TRY(parse_service(value, path));
        const auto [first, fresh] = first_of_name.try_emplace(service.name, map.services.size());
        if (!fresh)
            return wrong(path_of(path, "name"), fmt::format("{} stands twice; services[{}] has that name already",
                                                            quoted_text(service.name), first->second));
        map.services.push_back(std::move(service));
    }
    return {};
}

Result<RangeMap> read_map(std::string_view json) {
    const auto root = KUDO_TRY(read_json(json));
    // Before the fields: a later format may have others, and its name is the better answer.
    if (root.is_object() && root.contains("format")) KUDO_TRY(read_format(root));
    KUDO_TRY(check_fields(root, "", map_fields));
    RangeMap map;
    const auto serial = KUDO_TRY(read_serial(root, "", "serial"));
    map.serial = serial;
    KUDO_TRY(read_dates(map, root));
    KUDO_TRY(read_audience(map, root));
    KUDO_TRY(read_overrides(map, root));
    KUDO_TRY(read_supersedes(map, root));
    KUDO_TRY(read_services(map, root));
    return map;
}

} // namespace

Result<RangeMap> parse_range_map(std::string_view json, std::string_view name) {
    auto map = KUDO_TRY(read_map(json).in(name));
    return map;
}

} // namespace kudo
