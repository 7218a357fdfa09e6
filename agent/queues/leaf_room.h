// SPDX-License-Identifier: MIT
// How many packets may wait in the leaves of a shaper that is there. It is a time that they take on the line, so it
// goes with the line's rate (RTM_NEWQDISC of a qdisc that exists; fq_codel drops at its head what has no room any more,
// a FIFO loses it as others come).
// Invariant: only of leaves that our trees give a limit by the rate; cake, which has none, is left alone.
#pragma once

#include <vector>

#include "agent/netlink/tc_object.h"
#include "agent/queues/tree.h"

namespace kudo {

// `objects`: the interface's, as just read. Leaves that have the room already are not asked to change.
Result<void> change_leaf_room(uint32_t interface, const std::vector<TcObject>& objects, QueueKind kind,
                              const ShapedLine& line);

// These objects without the limits of such leaves that are within what the bounds give.
void forget_leaf_room(std::vector<TcObject>& objects, const RateBounds& bounds, uint32_t mtu);

} // namespace kudo
