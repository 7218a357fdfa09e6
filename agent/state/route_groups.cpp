// SPDX-License-Identifier: MIT
#include "agent/state/route_groups.h"

#include <algorithm>

#include "maps/compile/combine.h"
#include "maps/net/nat64.h"

namespace kudo {
namespace {

constexpr std::size_t max_range_questions = 400, max_interface_questions = 8;
constexpr unsigned parts_of_range = 4; // that are asked for apart: a route may lead to a part of a range

// Of one of the four parts of a prefix. Not its first address, which is the broadcast address of before, or a router's
// anycast address.
Address host_in(const Prefix& prefix, unsigned part = 0) {
    Address address = prefix.address;
    for (unsigned bit = 0; bit < 2; bit++) // of the part's number, behind the prefix
        if (const unsigned at = prefix.length + bit; at < address.bits() && (part & (2U >> bit)) != 0)
            address.bytes[at / 8] |= static_cast<uint8_t>(0x80 >> at % 8);
    if (prefix.length + 3U < address.bits()) address.bytes[address.bits() / 8 - 1] |= 1;
    return address;
}
// The parts that differ: one of a /32, two of a /31.
unsigned quarters_of(const Prefix& prefix) {
    return std::min(parts_of_range, 1U << std::min(2U, prefix.address.bits() - prefix.length));
}

std::vector<RouteGroup> group_ranges(const RangeMap& map, const CompileOptions& options) {
    std::vector<RouteGroup> groups;
    for (const Service& service : map.services) {
        if (!is_chosen(service, options)) continue;
        const std::string name(parts_of(service.name).service); // early and retiring ranges are the service's too
        for (const Family family : {Family::IPv4, Family::IPv6}) {
            auto group = std::ranges::find_if(
                groups, [&](const RouteGroup& other) { return other.service == name && other.family == family; });
            for (const Range& range : service.ranges) {
                if (range.prefix.address.family != family) continue;
                if (group == groups.end())
                    group = groups.insert(groups.end(),
                                          {.service = name, .family = family, .ranges = {}, .ports = service.ports});
                group->ranges.push_back(&range);
            }
        }
    }
    return groups;
}

void ask_for(RouteGroup& group, const Address& address) {
    const PortRule port = group.ports.empty() ? PortRule{} : group.ports[group.questions.size() % group.ports.size()];
    group.questions.push_back({.to = address, .protocol = port.protocol, .port = port.port});
}

} // namespace

std::vector<RouteGroup> questions_for(const RangeMap& map, const CompileOptions& options) {
    std::vector<RouteGroup> groups = group_ranges(map, options);
    std::vector<RouteGroup> behind_nat64;
    const std::size_t quota = std::max<std::size_t>(1, max_range_questions / std::max<std::size_t>(1, groups.size()));
    for (RouteGroup& group : groups) {
        const std::size_t ranges = group.ranges.size(), all = ranges * std::max<std::size_t>(1, group.ports.size());
        const std::size_t count = std::min(all, quota);
        for (std::size_t at = 0; at < count; at++) // all ports of a range before the next range
            ask_for(group, host_in(group.ranges[at * ranges / count]->prefix));
        for (unsigned part = 1; part < parts_of_range; part++)
            for (const Range* range : group.ranges)
                if (part < quarters_of(range->prefix) && group.questions.size() < quota)
                    ask_for(group, host_in(range->prefix, part));
        if (group.family != Family::IPv4) continue;
        behind_nat64.push_back(
            {.service = group.service, .family = Family::IPv6, .nat64 = true, .ranges = {}, .ports = group.ports});
        for (const Prefix& prefix : options.nat64_prefixes())
            ask_for(behind_nat64.back(), host_in(embed(prefix, group.ranges.front()->prefix)));
    }
    std::ranges::move(behind_nat64, std::back_inserter(groups));
    return groups;
}

Result<void> ask_routes(Routes& routes, std::vector<RouteGroup>& groups) {
    for (RouteGroup& group : groups)
        for (const RouteQuestion& question : group.questions)
            for (const uint32_t interface : KUDO_TRY(routes.ask(question)))
                group.interfaces.insert(interface);
    return {};
}

bool is_needless(const RouteGroup& group, const std::vector<RouteGroup>& groups) {
    return group.nat64 && std::ranges::any_of(groups, [&](const RouteGroup& other) {
               return other.service == group.service && other.family == Family::IPv4 && !other.interfaces.empty();
           });
}

std::vector<RouteQuestion> sample(const std::vector<RouteGroup>& groups) {
    std::vector<RouteQuestion> samples;
    const std::size_t count = std::min(groups.size(), max_interface_questions);
    for (std::size_t at = 0; at < count; at++)
        samples.push_back(groups[at * groups.size() / count].questions.front());
    return samples;
}

} // namespace kudo
