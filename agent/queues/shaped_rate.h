// SPDX-License-Identifier: MIT
// The rate of a shaper of kudo-agent's that is there: what it is, and another one in its place, by which no packet is
// lost (RTM_NEWTCLASS of a class of htb that exists, RTM_NEWQDISC of a cake that exists; neither empties its queues).
// Invariant: rates are bits per second of layer 2, all the line's together.
#pragma once

#include <optional>
#include <vector>

#include "agent/netlink/tc_object.h"
#include "agent/queues/tree.h"

namespace kudo {

// Those kinds whose rate can follow the line.
inline constexpr QueueKind rate_follows[] = {QueueKind::Cake, QueueKind::Htb};

// Of a tree of ours that has a rate. Nothing: it has none.
std::optional<uint64_t> shaped_rate(const std::vector<TcObject>& objects);

// These objects without what change_rate() changes: equal for all rates within the bounds. What change_rate() would not
// have made of the whole line's rate stays: a class that somebody else has changed.
std::vector<TcObject> without_rate(std::vector<TcObject> objects, const RateBounds& bounds, uint32_t mtu);

// `kind`: of rate_follows, the one that is there. An Error with ENOENT: it is not, and
// none is made.
Result<void> change_rate(uint32_t interface, QueueKind kind, const ShapedLine& line);

// What a shaper has sent, and what waits in it.
struct ShaperCounts {
    QueueKind kind = QueueKind::Htb;
    uint64_t bytes = 0;   // sent, of layer 2
    uint64_t arrived = 0; // the same with what waits and what was dropped, each packet of that as a full frame
    uint32_t waiting = 0; // packets
};
// Nothing: the root is not one of kudo-agent's whose rate can follow.
Result<std::optional<ShaperCounts>> read_shaper(uint32_t interface);

} // namespace kudo
