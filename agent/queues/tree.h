// SPDX-License-Identifier: MIT
// The qdiscs and classes that we build, which skb->priority selects which, and what each of them carries.
// Invariant: pure; audio never waits behind anything else, and where the kind can guarantee it, other traffic keeps a
// share of the line, and its pure TCP acknowledgements do not wait behind the rest of it.
#pragma once

#include <array>
#include <optional>
#include <string>
#include <vector>

#include "agent/netlink/tc_object.h"
#include "agent/queues/spec.h"
#include "bpf/abi.h"

namespace kudo {

// Our handles: "KU" and the numbers after it. A qdisc with such a handle is taken for ours only if one was saved when
// it was built: see saved_qdisc.h.
inline constexpr uint32_t queue_handle = 0x4b550000;

// Where skb->priority cannot name a class, a classifier in the qdisc does, by skb->tc_index: see KUDO_TC_INDEX.
struct ClassFilter {
    uint32_t qdisc = 0;                              // its handle
    std::array<uint32_t, KUDO_TREATMENTS> classes{}; // ids
};

struct QueueTree {
    QueueKind kind = QueueKind::Htb;
    struct Step {
        TcObject object;
        std::optional<TcObject> substitute{}; // where the kernel does not have the first one's kind
    };
    std::vector<Step> steps{};           // in this order
    std::vector<PlacedFilter> filters{}; // behind them; where the kernel does not have their kind, without them
    // skb->priority of each treatment; 0: the mark's own, which the queue understands.
    std::array<uint32_t, KUDO_TREATMENTS> priorities{};
    std::vector<ClassFilter> classifiers{}; // behind all steps, before the filters
};

// ms of incoming bulk that may wait: at a rate that stays, and at one that follows the line.
inline constexpr uint32_t usual_bulk_room = 200, followed_bulk_room = 60;
struct ShapedLine {
    uint64_t bits_per_second = 0;
    uint32_t mtu = 1500;   // bytes of layer 3: a whole frame must fit into every burst
    bool incoming = false; // on the ingress side, where what is dropped has crossed the line already
    uint32_t bulk_room = usual_bulk_room;
    // The largest frame: Ethernet's header and two VLAN tags around it.
    [[nodiscard]] uint32_t frame() const { return mtu + 22; }
};
// A queue for the whole line.
QueueTree shaped_queue(QueueKind kind, const ShapedLine& line);

// A queue that only orders what is queued, without a rate: as the root, or, `transmit_queues` > 0, one below each
// transmit queue of a multi-queue device. Htb has none.
QueueTree ordering_queue(QueueKind kind, uint32_t transmit_queues);

// The same tree on Wi-Fi, where skb->priority is wifi_priorities: its classes are found by classifiers. cake finds its
// tins by the DSCP, pfifo_fast its bands by the lower bits of skb->priority: neither asks a classifier for them.
QueueTree on_wifi(QueueTree tree);

// skb->priority on Wi-Fi, by treatment: the user priorities of RFC 8325 section 4, voice (AC_VO) for audio, video
// (AC_VI) for AF41, best effort (AC_BE) for AF21. Of AC_VI's two, and of AC_BE's, those that pfifo_fast and the other
// maps of the kernel's own (net/sched/sch_generic.c, sch_default_prio2band) do not put below unmarked packets.
inline constexpr std::array<uint32_t, KUDO_TREATMENTS> wifi_priorities = {
    KUDO_USER_PRIORITY + 6, KUDO_USER_PRIORITY + 4, KUDO_USER_PRIORITY + 4, KUDO_USER_PRIORITY + 0};

// One part of a queue and its numbers.
struct QueueClass {
    std::vector<std::string> carries{};                         // treatments, and of what is not KUDO's "acks", "other"
    uint64_t packets = 0, bytes = 0;                            // sent
    std::optional<uint32_t> backlog_packets{}, backlog_bytes{}; // waiting now; nothing: the kernel does not tell
    std::optional<uint64_t> drops{};
    std::optional<uint32_t>
        delay_us{}; // that packets have lately waited, on average; nothing: the kernel does not tell
};
// Of a tree of ours, or of another queue as a whole.
std::vector<QueueClass> queue_classes(const std::vector<TcObject>& objects);

} // namespace kudo
