// SPDX-License-Identifier: MIT
// What the kernel is asked for to learn by which interfaces KUDO is reached: addresses of each service and family.
// Invariant: about 400 questions at most, spread evenly over a service's ranges, in each range over its four quarters.
#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include "agent/netlink/routes.h"
#include "maps/compile/compile.h"
#include "maps/document/range_map.h"

namespace kudo {

// What is asked for one service and family.
struct RouteGroup {
    std::string service;
    Family family = Family::IPv4;
    bool nat64 = false; // IPv6 that stands for the service's IPv4
    std::vector<const Range*> ranges;
    std::vector<PortRule> ports;
    std::vector<RouteQuestion> questions{};
    std::set<uint32_t> interfaces{}; // the answers
};

// One for each chosen service and family that has ranges, with its questions; `map` must outlive them.
std::vector<RouteGroup> questions_for(const RangeMap& map, const CompileOptions& options);
// Fills in the answers.
Result<void> ask_routes(Routes& routes, std::vector<RouteGroup>& groups);
// A host that reaches IPv4 without a NAT64 sends nothing to the addresses behind one.
bool is_needless(const RouteGroup& group, const std::vector<RouteGroup>& groups);
// One question of each group, of at most eight, evenly.
std::vector<RouteQuestion> sample(const std::vector<RouteGroup>& groups);

} // namespace kudo
