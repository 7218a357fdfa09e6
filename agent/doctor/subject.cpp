// SPDX-License-Identifier: MIT
#include "agent/doctor/subject.h"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <thread>
#include <utility>

#include "agent/attach/attachment.h"
#include "agent/attach/in_kernel.h"
#include "agent/lifelines/host_facts.h"
#include "agent/stun/datagram_probe.h"
#include "agent/system/capabilities.h"
#include "agent/system/files.h"
#include "bpf/stun.h"
#include "maps/compile/combine.h"
#include "maps/net/nat64.h"

namespace kudo {
namespace {

constexpr std::size_t max_resolv_conf = 65536;
constexpr std::chrono::milliseconds neighbour_time{1200};

// Hosts without IPv4 reach it behind a NAT64. The route to the well-known prefix is most often the default one, and no
// proof of a NAT64: so only where IPv4 is not meant to be there, or for a prefix that was configured.
void take_nat64(const Subject& subject, RangeRoute& way) {
    if (way.address.family != Family::IPv4) return;
    const bool has_ipv4 = std::ranges::any_of(subject.addresses, [](const InterfaceAddress& own) {
        return own.address.family == Family::IPv4 && own.address.bytes[0] != 127;
    });
    for (const Prefix& nat64 : subject.options().nat64_prefixes()) {
        if (has_ipv4 && nat64 == well_known_nat64_prefix()) continue;
        const Prefix range = embed(nat64, way.range);
        const Address address = embed(nat64, {way.address, 32}).address;
        auto route = read_route_state(address);
        if (!route || route->kind != RouteState::Kind::Unicast) continue;
        way.range = range;
        way.address = address;
        way.route = std::move(*route);
        way.behind_nat64 = true;
        return;
    }
}

// The kernel asks a neighbour that has failed again only when there is a packet for it, three times, a second apart.
void ask_silent_neighbours(Subject& subject) {
    std::vector<RangeRoute*> silent; // one for each neighbour
    for (RangeRoute& way : subject.routes)
        if (is_silent_neighbour(way.route.neighbour_state) &&
            std::ranges::none_of(silent, [&](const RangeRoute* known) {
                return known->route.neighbour == way.route.neighbour && known->route.interface == way.route.interface;
            }))
            silent.push_back(&way);
    if (silent.empty()) return;
    std::vector<DatagramProbe> probes;
    for (const RangeRoute* way : silent)
        probes.push_back({.to = way->address, .port = KUDO_STUN_PORT});
    static_cast<void>(probe_datagrams(probes, {{}, std::chrono::milliseconds(100)}));
    const auto end = std::chrono::steady_clock::now() + neighbour_time;
    while (std::ranges::any_of(silent,
                               [](const RangeRoute* way) { return is_silent_neighbour(way->route.neighbour_state); }) &&
           std::chrono::steady_clock::now() < end) {
        for (RangeRoute* way : silent)
            if (auto now = read_route_state(way->address)) way->route = std::move(*now);
        std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
    for (RangeRoute& way : subject.routes)
        if (is_silent_neighbour(way.route.neighbour_state))
            if (auto now = read_route_state(way.address)) way.route = std::move(*now);
}

// Of this build: others may not know what they are to leave. An older kudo-agent's are there until the next enable.
bool programs_are_ours(const Subject& subject) {
    auto data_path = DataPath::open(subject.instance);
    if (!data_path) return false;
    return std::ranges::all_of(subject.interfaces, [&](const Interface& interface) {
        if (!has_kudo_egress(interface.index)) return true;
        const auto attached = read_attached(*data_path, interface);
        return attached && attached->egress && attached->current;
    });
}

} // namespace

Address host_in(const Prefix& prefix) {
    Address address = prefix.address;
    if (prefix.length + 1U < address.bits()) address.bytes[address.bits() / 8 - 1] |= 1;
    return address;
}

bool is_silent_neighbour(const std::string& state) {
    return state == "failed" || state == "incomplete";
}

const Interface* Subject::find(const std::string& name) const {
    const auto found = std::ranges::find(interfaces, name, &Interface::name);
    return found == interfaces.end() ? nullptr : &*found;
}

std::string Subject::why_unreachable() const {
    bool has_route = false;
    for (const RangeRoute& way : routes) {
        if (way.route.kind != RouteState::Kind::Unicast) continue;
        has_route = true;
        if (!is_silent_neighbour(way.route.neighbour_state)) return "";
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
    subject.began = std::chrono::steady_clock::now();
    subject.is_root = geteuid() == 0;
    subject.may_look = check_capabilities().has_value();
    subject.proxies = proxy_settings();
    const auto resolv_conf = read_file(resolver_files().front(), max_resolv_conf);
    subject.name_servers = name_servers_of(resolv_conf ? *resolv_conf : "");
    subject.interfaces = KUDO_TRY(list_interfaces());
    subject.addresses = KUDO_TRY(list_addresses());
    // By what is attached: programs may be there whose desired state is lost, or gone though they are enabled.
    const bool attached = std::ranges::any_of(
        subject.interfaces, [](const Interface& interface) { return has_kudo_egress(interface.index); });
    subject.marks_now =
        subject.may_look ? attached && subject.enabled_marks.value_or(true) : subject.enabled_marks.value_or(false);
    if (subject.marks_now && subject.may_look && programs_are_ours(subject))
        if (auto sockets = open_probe_sockets(KUDO_PROBE_MARK))
            subject.unmarked = std::make_shared<const OwnProbeSockets>(std::move(*sockets));
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
            if (way.route.kind == RouteState::Kind::None) take_nat64(subject, way);
            way.source = way.route.source;
            subject.routes.push_back(std::move(way));
        }
    }
    ask_silent_neighbours(subject);
    return {};
}

} // namespace kudo
