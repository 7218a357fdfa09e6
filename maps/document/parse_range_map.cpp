// SPDX-License-Identifier: MIT
#include "maps/document/parse_range_map.h"

#include <algorithm>
#include <array>
#include <unordered_map>

#include <fmt/format.h>

#include "maps/base/abi_names.h"
#include "maps/base/text.h"
#include "maps/document/domain.h"
#include "maps/document/fields.h"
#include "maps/document/guards.h"

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

Result<void> read_dates(RangeMap& map, const Json& root) {
    map.issued = KUDO_TRY(read_time(root, "", "issued"));
    map.effective = KUDO_TRY(read_time(root, "", "effective"));
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
    map.audience = KUDO_TRY(Audience::parse(text.value).in(text.path));
    return {};
}

Result<void> read_overrides(RangeMap& map, const Json& root) {
    auto overrides = KUDO_TRY(read_set(root, "", "overrides"));
    for (Text& text : overrides) {
        if (!guard_of(text.value))
            return wrong(text.path, quoted_text(text.value) + " is not a guard; expected " + guard_names_text());
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

constexpr std::array<Field, 8> service_fields{{{"name"},
                                               {"class"},
                                               {"regions"},
                                               {"optional", false},
                                               {"ports"},
                                               {"ipv4", false},
                                               {"ipv6", false},
                                               {"domains", false}}};

Result<void> read_name(Service& service, const Json& value, std::string_view path) {
    auto name = KUDO_TRY(read_text(value, path, "name"));
    if (!is_simple_name(name.value) || name.value.front() < 'a' || name.value.front() > 'z')
        return wrong(name.path, quoted_text(name.value) + " is not a service name; write 1 to 63 of a-z, 0-9 and -, "
                                                          "beginning with a letter");
    service.name = std::move(name.value);
    return {};
}

Result<void> read_class(Service& service, const Json& value, std::string_view path) {
    const auto text = KUDO_TRY(read_text(value, path, "class"));
    for (const kudo_class class_ : {KUDO_CLASS_MEDIA, KUDO_CLASS_FALLBACK, KUDO_CLASS_CONTROL}) {
        if (text.value != class_name(class_)) continue;
        service.class_ = class_;
        return {};
    }
    return wrong(text.path, quoted_text(text.value) + " is not a class; expected media, control or fallback");
}

Result<void> read_regions(Service& service, const Json& value, std::string_view path) {
    auto regions = KUDO_TRY(read_set(value, path, "regions"));
    if (regions.empty()) return wrong(path_of(path, "regions"), "empty; name regions, or write [\"*\"] for all");
    for (Text& region : regions) {
        if (region.value == "*" && regions.size() > 1)
            return wrong(region.path, "\"*\" means every region and must be the only entry");
        if (region.value != "*" && !is_simple_name(region.value))
            return wrong(region.path, quoted_text(region.value) + " is not a region; write 1 to 63 of a-z, 0-9 and -");
        service.regions.push_back(region.value);
    }
    return {};
}

Result<void> read_ports(Service& service, const Json& value, std::string_view path) {
    const auto ports = KUDO_TRY(read_set(value, path, "ports"));
    if (ports.empty()) return wrong(path_of(path, "ports"), "empty; a service has at least one port");
    if (ports.size() > KUDO_MAX_PORTS)
        return wrong(path_of(path, "ports"),
                     fmt::format("{} are too many; a service has at most {} ports", ports.size(), KUDO_MAX_PORTS));
    for (const Text& text : ports) {
        service.ports.push_back(KUDO_TRY(PortRule::parse(text.value).in(text.path)));
    }
    return {};
}

Result<void> read_domains(Service& service, const Json& value, std::string_view path) {
    auto domains = KUDO_TRY(read_set(value, path, "domains"));
    for (const Text& domain : domains) {
        KUDO_TRY(check_domain(domain.value).in(domain.path));
        service.domains.push_back(domain.value);
    }
    return {};
}

// `path` is the service's own, "services[2]". What needs a look at other services is not checked.
Result<Service> parse_service(const Json& value, std::string_view path) {
    Service service;
    KUDO_TRY(check_fields(value, path, service_fields));
    KUDO_TRY(read_name(service, value, path));
    KUDO_TRY(read_class(service, value, path));
    KUDO_TRY(read_regions(service, value, path));
    service.optional = KUDO_TRY(read_flag(value, path, "optional"));
    KUDO_TRY(read_ports(service, value, path));
    service.ranges = KUDO_TRY(read_ranges(value, path));
    KUDO_TRY(read_domains(service, value, path));
    if (service.ranges.empty() && service.domains.empty())
        return wrong(path, "has neither ranges nor domains; give it ipv4, ipv6 or domains");
    return service;
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
            return wrong(path_of(path, "name"), fmt::format("{} is a duplicate; services[{}] has that name already",
                                                            quoted_text(service.name), first->second));
        map.services.push_back(std::move(service));
    }
    return {};
}

} // namespace

Result<RangeMap> range_map_from(const Json& root) {
    KUDO_TRY(check_format(root, range_map_format, map_fields));
    RangeMap map;
    map.serial = KUDO_TRY(read_serial(root, "", "serial"));
    KUDO_TRY(read_dates(map, root));
    KUDO_TRY(read_audience(map, root));
    KUDO_TRY(read_overrides(map, root));
    KUDO_TRY(read_supersedes(map, root));
    KUDO_TRY(read_services(map, root));
    return map;
}

Result<RangeMap> parse_range_map(std::string_view json, std::string_view name) {
    return range_map_from(KUDO_TRY(read_json(json).in(name))).in(name);
}

} // namespace kudo
