/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* What the tracing program of bpf/drops.bpf.c writes and the agent reads: packets of KUDO's flows that this host's kernel
 * has freed as dropped. Compiles as C for the BPF target, and as C and as C++20 natively.
 * Invariant: sizes and offsets are asserted by all three; a change here is a change of KUDO_LAYOUT_VERSION. */
#ifndef KUDO_DROPS_H
#define KUDO_DROPS_H

#include "abi.h"

/* Which of a packet's addresses is the remote: the destination, where it is in a range of the active policy (egress), else
 * the source (ingress); where none is, the one that a name has made KUDO's. Where both are: egress if no interface of this host
 * has received the packet (skb->skb_iif is 0), else ingress. Of a name are the packets of flows that it has decided about, and
 * those that it would decide about now. */

/* The packet's network namespace cannot be told: it has neither a device, a socket nor a route any more, as the fragments
 * of a datagram that was never completed. Counted apart; on a host with one namespace it is this one. */
#define KUDO_DROP_NAMESPACE_UNKNOWN 1u
/* A tc program of kudo-agent has dropped it (KUDO_DROP_MARK): its own counters have it already. */
#define KUDO_DROP_BY_TC 2u
/* The active policy drops such a packet: where an XDP program of kudo-agent is the hook that it was dropped at, its own
 * counters have it already. */
#define KUDO_DROP_JUDGED 4u

/* What kudo-agent's tc programs set skb->mark to before they drop: "KUDR". */
#define KUDO_DROP_MARK 0x4b554452u

struct kudo_drop4_key {
	struct kudo_flow4_key flow; /* interface: the packet's device, else its route's, else where it came in; 0: none */
	__u32 reason;               /* enum skb_drop_reason of the running kernel; 0: it has no reasons (before 5.17) */
	__u64 location;             /* where in the kernel it was freed: a return address */
	__u32 queue_class;          /* skb->priority: for a queue the class that the packet was sent to */
	__u8 direction;             /* enum kudo_direction */
	__u8 flags;                 /* KUDO_DROP_* */
	__u8 pad[2];
};
struct kudo_drop6_key {
	struct kudo_flow6_key flow;
	__u32 reason;
	__u64 location;
	__u32 queue_class;
	__u8 direction;
	__u8 flags;
	__u8 pad[2];
};
KUDO_ASSERT(offsetof(struct kudo_drop4_key, location) == 24 && sizeof(struct kudo_drop4_key) == 40, "drop4 key");
KUDO_ASSERT(offsetof(struct kudo_drop6_key, location) == 48 && sizeof(struct kudo_drop6_key) == 64, "drop6 key");

/* The last dropped packet's socket: where it was going to, or who has sent it. */
struct kudo_drop_socket {
	__u64 inode;          /* of the socket, as in /proc/PID/fd; 0: none is known, or no process holds it */
	__u64 cookie;         /* SO_COOKIE; 0: nobody has asked for it yet */
	__u32 receive_buffer; /* sk_rcvbuf, in bytes of the kernel's accounting */
	__u32 queued;         /* sk_rmem_alloc, in the same */
	__u32 protocol;       /* IPPROTO_*; 0: there was no socket */
	__u32 pad;
};
KUDO_ASSERT(sizeof(struct kudo_drop_socket) == 32, "drop socket");

struct kudo_drop {
	struct kudo_counter wire; /* packets and layer-3 bytes as on the wire, segments counted */
	__u64 first_seen;         /* jiffies64, as a flow's */
	__u64 last_seen;
	struct kudo_drop_socket socket;
};
KUDO_ASSERT(sizeof(struct kudo_drop) == 64, "drop");

/* Rows. When a table is full, the least recently used row is evicted; kudo_drop_total goes on. */
#define KUDO_DROPS4 16384
#define KUDO_DROPS6 4096

/* The sums of all rows, which nothing evicts. Its value is a struct kudo_counter. */
struct kudo_drop_total_key {
	__u64 location;
	__u32 reason;
	__u8 direction;
	__u8 flags;
	__u8 family; /* 4 or 6 */
	__u8 pad;
};
#define KUDO_DROP_TOTALS 2048
KUDO_ASSERT(sizeof(struct kudo_drop_total_key) == 16, "drop total key");

/* The only element of its table. */
struct kudo_drop_control {
	__u64 counting;      /* the number of the loaded copy that counts: one that is being replaced counts nothing more */
	__u64 unparsed;      /* packets of this namespace, or of an unknown one, whose IP header could not be found */
	__u64 nested;        /* packets dropped while KUDO_DROP_LEVELS others were being counted on the same CPU */
	__u64 without_row;   /* packets that are in the totals alone: the table gave no room */
	__u64 without_total; /* packets that are in a row alone: there were KUDO_DROP_TOTALS causes already */
};
KUDO_ASSERT(sizeof(struct kudo_drop_control) == 40, "drop control");

/* A process, a softirq, an interrupt and an NMI can each be in the program on one CPU at once. Kernels from 6.1 on let only
 * one in, and count the others as the program's recursion misses. */
#define KUDO_DROP_LEVELS 4

#endif /* KUDO_DROPS_H */
