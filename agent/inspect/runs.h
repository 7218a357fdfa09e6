// SPDX-License-Identifier: MIT
// Do our programs see the packets of an interface? The agent asks a question in the data path, each program answers it
// with the first packet that it counts, and the interface's own counters say whether there was one.
// Invariant: never waits; judges the time since the question before. Any number of processes may ask.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "agent/datapath/datapath.h"
#include "agent/netlink/interfaces.h"
#include "maps/base/result.h"

namespace kudo {

struct RunProblem {
    uint32_t interface = 0;
    std::string text; // "34 packets came in and kudo-agent's program saw none of them"
};

// Fewer packets, or a shorter time, prove nothing: drivers update their counters late, and some frames never reach the
// kernel's hooks. Nor do few in a long time: a tunnel's keepalives and a bond's LACP frames are in the counters and
// pass no hook, so a question with fewer a second is asked anew.
inline constexpr uint64_t run_min_packets = 20;
inline constexpr uint64_t run_min_ns = 2'000'000'000;
inline constexpr uint64_t run_min_rate = 5; // packets a second
inline constexpr uint64_t run_window_ns = 10'000'000'000;

Result<std::vector<RunProblem>> check_runs(const DataPath& data_path, std::span<const Interface> interfaces);

} // namespace kudo
