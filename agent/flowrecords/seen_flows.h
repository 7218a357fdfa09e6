// SPDX-License-Identifier: MIT
// The flows of a diagnosis as records with all that they have counted so far.
// Invariant: pure. Each row of the flow table is a flow of its own, in the same order: were two of them one, the count
// would fall when one of them is evicted.
#pragma once

#include <vector>

#include "agent/diagnosis/diagnosis.h"
#include "agent/flowrecords/data_record.h"

namespace kudo {

struct SeenFlow {
    DataRecord record; // its counters are those since the flow began; start and stop are its whole life
    int64_t age = 0;   // milliseconds since it began, which no step of the clock changes
};
std::vector<SeenFlow> seen_flows(const Diagnosis& diagnosis);

} // namespace kudo
