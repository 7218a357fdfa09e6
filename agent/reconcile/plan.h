// SPDX-License-Identifier: MIT
// What a desired state comes to on this host, now: the policy to publish, and the interfaces to attach to.
// Invariant: changes nothing.
#pragma once

#include <optional>
#include <vector>

#include "agent/reconcile/reconcile.h"
#include "agent/state/wanted_interfaces.h"
#include "maps/compile/compile.h"

namespace kudo {

struct Plan {
    std::optional<CompiledPolicy> compiled; // with the service slots of the data path that is there
    uint64_t serial = 0;                    // of the map that is in effect then
    std::string source;
    bool reduced = false; // not all that is early or retiring fits
    WantedInterfaces wanted;
    bool knows_interfaces = true; // else none is attached or released
    std::vector<Problem> problems;
};

// BadInput: what the caller asked for cannot be. `same_options`: the desired state differs from the one before in
// nothing but range maps.
Result<Plan> make_plan(const Instance& instance, const DesiredState& desired, Asked asked, bool same_options,
                       ParsedMaps* parsed);

} // namespace kudo
