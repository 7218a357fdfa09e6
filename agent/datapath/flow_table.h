// SPDX-License-Identifier: MIT
// What the programs have counted: every CPU's counters, and the flows, which are the flow tables' rows and what the
// CPUs' caches hold on top of them.
// Invariant: a packet is in a flow's count once, also if its count moves from a cache to the table while we read.
#pragma once

#include <span>
#include <utility>
#include <vector>

#include "bpf/abi.h"
#include "maps/base/result.h"

namespace kudo {

// Summed over the CPUs: kudo_cpus, mapped; the programs go on writing.
kudo_counters sum_counters(std::span<const kudo_cpu> cpus);

struct FlowTable {
    std::vector<std::pair<kudo_flow4_key, kudo_flow>> flows4;
    std::vector<std::pair<kudo_flow6_key, kudo_flow>> flows6;
    std::size_t rows = 0; // of them have a row in the hash tables; the others, evicted there, are in a cache only
};
// `flows4_fd`, `flows6_fd`: the hash tables. Flows that begin or end meanwhile may or may not be in it.
Result<FlowTable> read_flow_table(int flows4_fd, int flows6_fd, std::span<const kudo_cpu> cpus);

} // namespace kudo
