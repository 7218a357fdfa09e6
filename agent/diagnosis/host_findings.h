// SPDX-License-Identifier: MIT
// What this host itself has dropped, as findings: by cause, over all flows or of one.
// Invariant: pure.
#pragma once

#include <span>
#include <vector>

#include "agent/diagnosis/findings.h"

namespace kudo {

// Of these drops, which are those of one flow (its place in statistics.flows), or all.
inline constexpr std::size_t all_flows = SIZE_MAX;
std::vector<Finding> host_findings(const Diagnosis& diagnosis, std::span<const DiagnosedDrop* const> drops,
                                   std::size_t flow = all_flows);

// Was it dropped before our programs could count it?
bool is_uncounted(const Drop& drop, kudo_direction direction);

// Did this host ask for it? An incoming packet of a flow that it has sent nothing on may come from anybody who claims
// KUDO's address: to drop it is no loss of a call.
bool is_solicited(const Diagnosis& diagnosis, const DiagnosedDrop& drop);

// Which part of its flow's packets of that direction a drop is, 0 to 1; 0 where nothing tells.
double share_of_flow(const Diagnosis& diagnosis, const DiagnosedDrop& drop, kudo_direction direction);

} // namespace kudo
