// SPDX-License-Identifier: MIT
// With which servers KUDO's media flows run now, by the flows that the programs count.
// Invariant: read-only; a flow counts while packets of it were seen in the last few seconds.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <set>

#include "agent/datapath/clock.h"
#include "agent/datapath/datapath.h"
#include "maps/net/prefix.h"

namespace kudo {

struct MediaServer {
    Address address{}, local{}; // `local`: of the flow
};

// By ifindex the server of the busiest media flow there over UDP. `quiet`: so long a flow may be without packets.
// `own`: this host's ports whose flows are no meeting's, but requests of this program.
Result<std::map<uint32_t, MediaServer>> read_media_servers(const DataPath& data_path, const TickClock& clock,
                                                           std::chrono::milliseconds quiet,
                                                           const std::set<uint16_t>& own);

} // namespace kudo
