// SPDX-License-Identifier: MIT
// Sends packets that end on the way, with each mark, and reads what the routers quote of them.
#pragma once

#include <chrono>
#include <vector>

#include "agent/doctor/marks.h"
#include "maps/net/prefix.h"

namespace kudo {

// One datagram for each mark and hop: to `to`, UDP port 3478, IPv4 only. Needs CAP_NET_RAW, to see ICMP.
// `packet_mark`: their SO_MARK, which needs CAP_NET_ADMIN; 0: none.
Result<std::vector<HopOutcome>> probe_hops(const Address& to, const std::vector<uint8_t>& dscps, unsigned hops,
                                           std::chrono::milliseconds deadline, uint32_t packet_mark);

} // namespace kudo
