// SPDX-License-Identifier: MIT
// The classifier that finds the class in a qdisc of kudo-agent's on Wi-Fi: a BPF program of a few instructions in a tc
// filter (net/sched/cls_bpf.c), which returns a class id by skb->tc_index; 0, the qdisc's own choice, for other
// packets.
// Invariant: it lives in the qdisc and goes with it; known by its name, and only looked for in kudo-agent's qdiscs.
#pragma once

#include "agent/queues/tree.h"

namespace kudo {

// An Error with ENOENT: the kernel has no cls_bpf.
Result<void> add_classifier(uint32_t interface, const ClassFilter& filter);
bool is_classifier(const TcFilter& filter);

} // namespace kudo
