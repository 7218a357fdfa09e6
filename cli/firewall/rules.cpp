// SPDX-License-Identifier: MIT
#include "cli/firewall/rules.h"

#include <netinet/in.h>

#include <algorithm>

#include <fmt/format.h>

#include "maps/compile/combine.h"
#include "maps/net/nat64.h"

namespace kudo {
namespace {

std::vector<Prefix> outermost(std::vector<Prefix> prefixes) {
    std::ranges::sort(prefixes);
    std::vector<Prefix> result;
    for (const Prefix& prefix : prefixes)
        if (result.empty() || !result.back().contains(prefix)) result.push_back(prefix);
    return result;
}

void add_service(const Service& service, const std::vector<Prefix>& nat64, std::vector<FirewallRule>& rules) {
    FirewallRule rule;
    const ServiceNameParts parts = parts_of(service.name);
    rule.service = parts.service;
    rule.state = parts.state;
    for (const Range& range : service.ranges) {
        if (range.prefix.address.family == Family::IPv6) {
            rule.ipv6.push_back(range.prefix);
            continue;
        }
        rule.ipv4.push_back(range.prefix);
        for (const Prefix& prefix : nat64)
            rule.ipv6.push_back(embed(prefix, range.prefix));
    }
    rule.ipv4 = outermost(std::move(rule.ipv4));
    rule.ipv6 = outermost(std::move(rule.ipv6));
    if (rule.ipv4.empty() && rule.ipv6.empty()) return; // published as names only
    for (const auto& [protocol, name] : {std::pair{IPPROTO_TCP, "tcp"}, {IPPROTO_UDP, "udp"}}) {
        rule.protocol = name;
        rule.ports.clear();
        for (const PortRule& port : service.ports)
            if (port.protocol == protocol) rule.ports.push_back(port.port);
        std::ranges::sort(rule.ports);
        if (!rule.ports.empty()) rules.push_back(rule);
    }
}

} // namespace

std::string FirewallRule::name() const {
    return "KUDO " + service + (state.empty() ? "" : " (" + state + ")");
}

Result<FirewallRules> firewall_rules(const Instance& instance, const std::vector<std::string>& regions, bool teams) {
    auto current = KUDO_TRY(current_rules(instance));
    CompileOptions options = current.state.compile_options();
    if (!regions.empty() || teams) {
        if (!regions.empty()) options.regions = regions;
        options.optional_services.clear();
        if (teams) options.optional_services = {"teams"};
    } else if (!current.note.empty()) {
        return fail(Error{ErrorKind::NotPermitted, current.note + "; for those of a region: --region", EACCES});
    } else if (!current.state.enabled) {
        return fail(Error{ErrorKind::NotEnabled, "not enabled; for the rules of a region: --region", 0});
    }
    KUDO_TRY(check_regions(current.maps.active.map, options.regions));
    // What does not fit into a policy is left out of it, and of this.
    KUDO_TRY(compile_honoured(current.maps, options));
    const RangeMap honoured = current.maps.combined();
    FirewallRules result{.serial = honoured.serial,
                         .source = current.maps.active.source,
                         .regions = options.regions,
                         .teams = !options.optional_services.empty(),
                         .rules = {},
                         .notes = std::move(current.maps.problems)};
    if (!current.maps.lost.empty()) result.notes.push_back(current.maps.lost);
    if (!current.note.empty()) result.notes.push_back(current.note);
    const auto nat64 = options.nat64_prefixes();
    for (const Service& service : honoured.services) {
        if (!is_chosen(service, options)) continue;
        if (service.ranges.empty())
            result.notes.push_back(fmt::format("Service {} is published as domain names only: no rule can be made for "
                                               "it.",
                                               service.name));
        add_service(service, nat64, result.rules);
    }
    return result;
}

} // namespace kudo
