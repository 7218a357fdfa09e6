// SPDX-License-Identifier: MIT
// A diagnosis as named counters that only grow, so that what was counted between two moments is their difference.
// Invariant: pure. A counter that has gone down began again at zero (an evicted flow, another data path): its growth is
// what it shows now.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "agent/diagnosis/diagnosis.h"

namespace kudo {

// "reason/rule", "service/media/2", "flow/17/10.0.0.1/40000/…": the counters of one thing, in an order of its own.
// For timeline.h: of "service/…" packets and bytes incoming, then outgoing; of "stream/…/SSRC/DIRECTION" first the
// packets received and lost; of "rtt/FLOW" how many round trips, and their sum in microseconds.
using Series = std::map<std::string, std::vector<uint64_t>>;

// At most `max_flows` flows, the first ones of the statistics, which are the busiest.
Series series_of(const Diagnosis& diagnosis, std::size_t max_flows = SIZE_MAX);

// Leaves what was counted since `before`. Flows and drops that have counted nothing since are left out; the verdicts
// are to be judged again. What is no counter (jitter, round trips, the worst windows, outages) stays as it is.
void keep_growth(Diagnosis& diagnosis, const Series& before);

// Flows that were there at that time and are not in its series, which had no room for them.
std::size_t flows_without_past(const Diagnosis& diagnosis, const Series& before,
                               std::chrono::system_clock::time_point time);

} // namespace kudo
