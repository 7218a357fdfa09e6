// SPDX-License-Identifier: MIT
// Small range maps to compile, and what a match says by name.
// Invariant: a sample asks for nothing but what its arguments say.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include <netinet/in.h>

#include "maps/compile/compile.h"

namespace kudo {

inline Service service(std::string name, std::vector<Range> ranges, std::vector<std::string> regions = {"*"}) {
    return {.name = std::move(name),
            .class_ = KUDO_CLASS_MEDIA,
            .regions = std::move(regions),
            .optional = false,
            .ports = {{IPPROTO_UDP, 3478}},
            .ranges = std::move(ranges),
            .domains = {}};
}

inline RangeMap map_of(std::vector<Service> services) {
    RangeMap map;
    map.serial = 1;
    map.services = std::move(services);
    return map;
}

inline CompileOptions options(std::vector<std::string> regions = {}, std::vector<std::string> optional_services = {}) {
    CompileOptions result;
    result.regions = std::move(regions);
    result.optional_services = std::move(optional_services);
    result.marks = default_marks();
    return result;
}

using Candidates = std::vector<std::pair<std::string, unsigned>>; // service, prefix length

inline Candidates candidates(const CompiledPolicy& compiled, const kudo_match* match) {
    Candidates result;
    if (!match) return result;
    for (const kudo_candidate& candidate : match->candidates) {
        if (candidate.service == 0) break;
        for (const auto& [name, slot] : compiled.slots) {
            if (slot == candidate.service) result.emplace_back(name, candidate.prefix_length);
        }
    }
    return result;
}

} // namespace kudo
