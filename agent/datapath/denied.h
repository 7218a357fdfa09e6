// SPDX-License-Identifier: MIT
// The table of flows that are not admitted: dropped by mode enforce, or what a rehearsal says it would drop.
// Invariant: its packets are at least so many; kudo_counters.denied_untracked says how many are in no row.
#pragma once

#include <cstddef>
#include <utility>
#include <vector>

#include "agent/datapath/datapath.h"
#include "bpf/abi.h"
#include "maps/base/result.h"

namespace kudo {

struct DeniedTable {
    std::vector<std::pair<kudo_flow4_key, kudo_denied>> flows4;
    std::vector<std::pair<kudo_flow6_key, kudo_denied>> flows6;
    std::size_t capacity = 0; // rows of both tables together; where it is full the longest silent flows go
};

// Rows that come or go meanwhile may or may not be in it.
Result<DeniedTable> read_denied(const DataPath::Maps& maps);

// Empties it: before flows that are dropped stand beside those that were only counted.
Result<void> clear_denied(const DataPath::Maps& maps);

} // namespace kudo
