// SPDX-License-Identifier: MIT
// Drift: media servers that answer this host at addresses outside of the range map, which says that the map may be
// stale. Included by status, statistics and the commands that show them. Invariant: what is listed has answered a
// request of this host's (see bpf/stun.bpf.h), and the active policy does not have it.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "agent/datapath.h"
#include "maps/prefix.h"
#include "maps/range_map.h"
#include "maps/result.h"

namespace kudo {

struct StrayRemote {
    Address remote;
    uint64_t requests = 0, answers = 0;                          // STUN, to and from UDP 3478
    std::chrono::system_clock::time_point first_seen, last_seen; // answers; resolution of the kernel's tick
    std::string interface; // where the last request went out: its name now; "#7" if it is gone
};

// One that was not heard of for longer is not listed.
inline constexpr std::chrono::hours strays_are_kept{7 * 24};

// Those that were answered, newest first. Reads times by the program of clock.h, and loads that if it is not there.
Result<std::vector<StrayRemote>> read_strays(DataPath& data_path);

// Leaves out what the map does have, for a region or as an optional service that was not chosen: then the map is not
// what is stale.
void remove_known(std::vector<StrayRemote>& strays, const RangeMap& map);

} // namespace kudo
