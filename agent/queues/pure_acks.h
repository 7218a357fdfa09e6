// SPDX-License-Identifier: MIT
// Which packets are pure TCP acknowledgements, as classifiers for a qdisc.
// Invariant: what they match has no payload and neither opens nor ends a connection, so that overtaking does no harm.
#pragma once

#include <vector>

#include "agent/netlink/tc_object.h"

namespace kudo {

// The preferences of the filters in our qdiscs; an administrator's own have others.
inline constexpr uint32_t first_queue_filter = 0x4b55, last_queue_filter = 0x4b56;

// One for IPv4, one for IPv6: unfragmented TCP, for IPv6 right behind the fixed header, ACK set and of the other flags
// at most those of ECN; options (SACK, timestamps) are no payload. `class_id`: where those go; the others go on as
// without the filter. Of kind "bpf" (net/sched/cls_bpf.c), in classic BPF, which needs no right to load programs.
std::vector<TcFilter> pure_ack_filters(uint32_t class_id);

} // namespace kudo
