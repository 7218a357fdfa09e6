// SPDX-License-Identifier: MIT
#include "maps/document/parse_service.h"

#include <array>

#include <fmt/format.h>

#include "maps/base/abi_names.h"
#include "maps/base/text.h"
#include "maps/document/domain.h"
#include "maps/document/fields.h"

namespace kudo {
namespace {

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
            return wrong(region.path, "\"*\" means every region and stands alone");
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
        const auto rule = PortRule::parse(text.value);
        if (!rule) return wrong(text.path, rule.error().message);
        service.ports.push_back(*rule);
    }
    return {};
}

Result<void> read_domains(Service& service, const Json& value, std::string_view path) {
    auto domains = KUDO_TRY(read_set(value, path, "domains"));
    for (const Text& domain : domains) {
        if (const auto checked = check_domain(domain.value); !checked)
            return wrong(domain.path, checked.error().message);
        service.domains.push_back(domain.value);
    }
    return {};
}

} // namespace

Result<Service> parse_service(const Json& value, std::string_view path) {
    Service service;
    KUDO_TRY(check_fields(value, path, service_fields));
    KUDO_TRY(read_name(service, value, path));
    KUDO_TRY(read_class(service, value, path));
    KUDO_TRY(read_regions(service, value, path));
    auto optional = KUDO_TRY(read_flag(value, path, "optional"));
    service.optional = optional;
    KUDO_TRY(read_ports(service, value, path));
    auto ranges = KUDO_TRY(read_ranges(value, path));
    service.ranges = std::move(ranges);
    KUDO_TRY(read_domains(service, value, path));
    if (service.ranges.empty() && service.domains.empty())
        return wrong(path, "has neither ranges nor domains; give it ipv4, ipv6 or domains");
    return service;
}

} // namespace kudo
