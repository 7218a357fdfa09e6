// SPDX-License-Identifier: MIT
#include "agent/doctor/subject.h"

#include <unistd.h>

#include <algorithm>

#include "agent/system/capabilities.h"
#include "maps/compile/combine.h"

namespace kudo {
namespace {

Address host_in(const Prefix& prefix) {
    Address address = prefix.address;
    if (prefix.length + 1U < address.bits()) address.bytes[address.bits() / 8 - 1] |= 1;
    return address;
}

} // namespace

const Interface* Subject::find(const std::string& name) const {
    const auto found = std::ranges::find(interfaces, name, &Interface::name);
    return found == interfaces.end() ? nullptr : &*found;
}

std::string Subject::why_unreachable() const {
    bool has_route = false;
    for (const RangeRoute& way : routes) {
        if (way.route.kind != RouteState::Kind::Unicast) continue;
        has_route = true;
        if (way.route.neighbour_state != "failed") return "";
    }
    return has_route ? "the next hop does not answer, so nothing was sent; see gateway"
                     : "no range of KUDO's has a route, so nothing was sent; see routes";
}

std::vector<std::string> Subject::names(bool optional) const {
    std::vector<std::string> names;
    for (const Service& service : map.services) {
        if (service.optional != optional || !is_chosen(service, options())) continue;
        for (const std::string& domain : service.domains)
            if (!domain.starts_with("*.") && std::ranges::find(names, domain) == names.end()) names.push_back(domain);
    }
    return names;
}

Result<void> examine(Subject& subject) {
    subject.is_root = geteuid() == 0;
    subject.may_look = check_capabilities().has_value();
    subject.proxies = proxy_settings();
    subject.interfaces = KUDO_TRY(list_interfaces());
    subject.addresses = KUDO_TRY(list_addresses());
    // That nothing leads to KUDO, or an enabled interface is gone, is what a check says.
    subject.wanted = KUDO_TRY(
        find_wanted_interfaces(subject.desired, subject.map, subject.instance.layout(), subject.interfaces_given));
    for (const Service& service : subject.map.services) {
        if (!is_chosen(service, subject.options())) continue;
        const std::string name(parts_of(service.name).service);
        for (const Range& range : service.ranges) {
            RangeRoute way{.service = name,
                           .class_ = service.class_,
                           .range = range.prefix,
                           .address = host_in(range.prefix),
                           .ports = service.ports,
                           .route = {}};
            way.route = KUDO_TRY(read_route_state(way.address));
            const Interface* interface = subject.find(way.route.interface);
            for (const InterfaceAddress& own : subject.addresses)
                if (interface && own.interface == interface->index && own.address.family == way.address.family &&
                    !way.source)
                    way.source = own.address;
            subject.routes.push_back(std::move(way));
        }
    }
    return {};
}

} // namespace kudo
