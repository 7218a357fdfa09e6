// SPDX-License-Identifier: MIT
// What is honoured while maps change: the map in effect, additions of maps that lie ahead, and what older maps had and
// the newest has not, for a grace period. Included by the agent and `explain`.
// Invariant: the result obeys every rule of a range map but one: service names may have the suffixes below, so that
// what is early or retiring is counted apart and never mistaken for a rule of the map in effect.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "maps/range_map.h"

namespace kudo {

inline constexpr std::string_view retiring_suffix = "~retiring"; // "media~retiring"; a second of the name: "~retiring2"
inline constexpr std::string_view early_suffix = "~early";

// `active` with, appended, services for what only the others allow:
// - of each map of `staged`, in their order: ranges, and ports, regions, class of a service, that `active` has not;
// - of each map of `retiring`, newest first, those that neither `active` nor what was appended before has.
// A service whose ports, class, regions and optional flag are as in `active` is appended with only those ranges that
// the service of that name there does not cover; another one with all its ranges. Nothing is appended that has no
// ranges. Domains of appended services are left out. The ranges keep their paths.
RangeMap combine(const RangeMap& active, std::span<const RangeMap> staged, std::span<const RangeMap> retiring);

// The parts of `prefixes` that `cover` does not hold, each as it stands in `prefixes` if any part of it is uncovered.
std::vector<Range> uncovered(std::span<const Range> prefixes, std::span<const Range> cover);

// "media" and "retiring" of "media~retiring2"; "media" and "" of "media".
struct ServiceNameParts {
    std::string_view service, state; // state: "", "early" or "retiring"
};
ServiceNameParts parts_of(std::string_view service_name);

} // namespace kudo
