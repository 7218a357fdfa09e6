// SPDX-License-Identifier: MIT
// Which flows are shown, and in which order.
// Invariant: pure; what was not measured comes last, whichever way it is sorted, and what is equal stays in the order
// of the statistics: busiest first.
#pragma once

#include <cstddef>
#include <optional>
#include <vector>

#include "cli/top/reading.h"
#include "cli/top/state.h"

namespace kudo {

// Places in statistics.flows.
std::vector<std::size_t> chosen_flows(const Reading& reading, const TopState& state);

// The share of a flow's packets that is lost: before this host (RTP) or in it, whichever is worse; nothing: neither is
// measured.
std::optional<double> lost_share(const Diagnosis& diagnosis, const FlowRecord& flow, const FlowDiagnosis* detail);

} // namespace kudo
