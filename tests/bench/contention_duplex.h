// SPDX-License-Identifier: MIT
// The line full in both directions at once: what a round trip of media takes, and what each direction's bulk keeps of
// what it has alone.
// Invariant: a row's three cases have the same queue, congestion control and round-trip time.
#pragma once

#include <string>
#include <vector>

#include "tests/bench/contention_case.h"
#include "tests/bench/measure.h"

namespace kudo::bench {

// `settings`: the congestion control and the round-trip time are taken from the lists instead, the latter in ms.
struct DuplexLists {
    std::vector<std::string> congestion_controls, round_trips, queues;
};
void measure_duplex(ContentionSettings settings, const DuplexLists& lists, Report& report);

} // namespace kudo::bench
