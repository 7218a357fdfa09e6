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
    bool operator==(const MediaServer&) const = default;
};

// By ifindex the server of a media flow there over UDP: the present one as long as it has such a flow, else that of the
// busiest. `quiet`: so long a flow may be without packets. `own`: this host's ports whose flows are no meeting's, but
// requests of this program.
Result<std::map<uint32_t, MediaServer>> read_media_servers(const DataPath& data_path, const TickClock& clock,
                                                           std::chrono::milliseconds quiet,
                                                           const std::set<uint16_t>& own,
                                                           const std::map<uint32_t, MediaServer>& present);

} // namespace kudo
