// SPDX-License-Identifier: MIT
// What is honoured while maps change: the map in effect, additions of maps that lie ahead, and what older maps had and
// the newest has not, for a grace period.
// Invariant: the result obeys every rule of a range map but one: service names may have the suffixes below, so that
// what is early or retiring is counted apart and never mistaken for a rule of the map in effect.
#pragma once

#include <span>
#include <string_view>
#include <vector>

#include "maps/document/range_map.h"

namespace kudo {

inline constexpr std::string_view retiring_suffix = "~retiring"; // "media~retiring"; a second of the name: "~retiring2"
inline constexpr std::string_view early_suffix = "~early";

// `active` with, appended, services for what only the others allow: first of each map of `staged`, in their order, then
// of each map of `retiring`, newest first. A range of a service is appended if any part of it is allowed neither by
// `active` nor by what was appended before: by services of the same name (a suffix aside) and class that have all its
// ports and regions and are not optional where it is not. So a service that has other ports in `active` comes with all
// its ranges, and one that only lacks some of the ports that `active` has, with none.
// Appended ranges of the same name, state, class, ports, regions and optional flag make one service; "~early2" is
// another one of these, of the same name. Domains are appended in the same way: those that no such service has, nor, of
// a wildcard, a wider one. The ranges keep their paths, of the map that they come from. What does not fit into the
// number of services that a range map may have is left out: the last of `retiring` first. (compile() may still refuse
// the result, where too many services lie over one address or have one domain.)
RangeMap combine(const RangeMap& active, std::span<const RangeMap> staged, std::span<const RangeMap> retiring);

// Those of `prefixes` of which `cover` does not hold every part, each unchanged.
std::vector<Range> uncovered(std::span<const Range> prefixes, std::span<const Range> cover);

// "media" and "retiring" of "media~retiring2"; "media" and "" of "media".
struct ServiceNameParts {
    std::string_view service, state; // state: "", "early" or "retiring"
};
ServiceNameParts parts_of(std::string_view service_name);

} // namespace kudo
