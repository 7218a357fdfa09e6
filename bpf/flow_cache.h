/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* The CPUs' flow caches: direct-mapped, in front of the flow tables. Shared by the data path, which writes them, and by
 * the agent, which adds them up.
 *
 * A slot (struct kudo_cached_flow) of a CPU is in one of three states:
 *
 *   empty     judgement 0; counts 0
 *   cached    judgement and key of a flow, and what this CPU has counted for it since the last write-back
 *   moving    seq odd: its counts go to the flow table (write-back), or it goes to another flow
 *
 * Invariants, and the tests that would break (tests/kernel/flow_cache_test.cpp, generation_test.cpp):
 *
 * F1 One writer: the programs on the slot's own CPU, for one packet at a time (see struct kudo_scratch). The agent only
 *    reads. [CountsStayExactWhileFlowsPushEachOtherOut]
 * F2 A flow has the same one slot number on every CPU. Its count is the table's row plus the slots of that number that
 *    have its key. [CountsStayExactWhileFlowsPushEachOtherOut, NeighbouringFlowsSpreadOverTheSlots]
 * F3 seq is a sequence counter: odd from before the first to after the last store of a move, and never set back.
 *    Counting a packet and renewing the judgement are no moves and leave it alone.
 * F4 So a reader that finds the same even seq before and after has copied one flow's slot, and one that finds it so on
 *    every CPU, with the row read in between, has each packet once. `packets` and `bytes` may be one packet apart.
 *    [AReaderNeverSeesAPacketTwiceOrLessThanBefore]
 * F5 Counts are written back before a slot goes to another flow, which it does only after KUDO_CACHE_IDLE_TICKS without
 *    a packet; before it is emptied; and with the first packet of a new write-back interval, so that the table's LRU
 *    sees that the flow is in use. [CountsStayExactWhileFlowsPushEachOtherOut, ABusyFlowSurvivesAFullFlowTable]
 * F6 A flow whose row was evicted meanwhile is entered again by the write-back. If the table gives no room, its packets
 *    go to kudo_counters.untracked_packets: none is lost unsaid. [ABusyFlowSurvivesAFullFlowTable]
 * F7 A write-back never sets the row's last_seen back. [TheLastSightNeverGoesBack]
 * F8 judgement is one word, stored and loaded at once, and holds only for packets of its own generation.
 *    [Generation.AFlowOfAnOlderGenerationIsJudgedAgain]
 *
 * F3 needs the two additions to seq to be ordered with the stores between them. On x86 they are locked, and stores are
 * in order. On arm64 an addition whose result is not used orders nothing (stadd); one whose result is used (BPF_FETCH)
 * does, but needs Linux 5.12, and the object must load on 5.10. There a reader may, rarely, count packets of a move
 * twice or miss them in one reading; what the data path has counted stays exact. */
#ifndef KUDO_FLOW_CACHE_H
#define KUDO_FLOW_CACHE_H

#include "abi.h"

/* Counts go to the flow table whenever the kernel's clock passes a multiple of 32 ticks (32 to 320 ms), which also
 * tells the table's LRU that the flow is in use. */
#define KUDO_CACHE_WRITE_BACK_SHIFT 5

/* Another flow takes a slot that has not been used for so many ticks. A busy slot stays: changing it costs more than
 * the other flow's lookup in the flow table. */
#define KUDO_CACHE_IDLE_TICKS 16

/* Fibonacci hashing again, of a flow on any interface: the highest bits are the best. */
kudo_inline __u64 kudo_fold(__u64 a, __u64 b)
{
	return (a * 11400714819323198485ull ^ b) * 11400714819323198485ull;
}

/* Of such a hash: so that every bit depends on all of the flow's. */
kudo_inline __u64 kudo_mixed(__u64 hash)
{
	return (hash ^ hash >> 32) * 11400714819323198485ull;
}

kudo_inline __u64 kudo_flow_hash4(const struct kudo_flow4_key *key)
{
	return kudo_fold((__u64)key->remote << 32 | key->local,
			 (__u64)key->remote_port << 32 | (__u32)key->local_port << 8 | key->protocol);
}

kudo_inline __u64 kudo_flow_hash6(const struct kudo_flow6_key *key)
{
	__u64 remote[2], local[2];

	__builtin_memcpy(remote, key->remote, 16);
	__builtin_memcpy(local, key->local, 16);
	return kudo_fold(remote[0] ^ local[0] ^ (local[1] << 1),
			 remote[1] ^ ((__u64)key->remote_port << 32 | (__u32)key->local_port << 8 | key->protocol));
}

/* Odd slots are IPv6's. */
kudo_inline __u32 kudo_cache_slot4(const struct kudo_flow4_key *key)
{
	return (__u32)(kudo_flow_hash4(key) >> 53) & (KUDO_CACHE_SLOTS - 2);
}

kudo_inline __u32 kudo_cache_slot6(const struct kudo_flow6_key *key)
{
	return 1 | ((__u32)(kudo_flow_hash6(key) >> 53) & (KUDO_CACHE_SLOTS - 2));
}

/* Of two keys: without branches, as they are nearly always equal. */
kudo_inline int kudo_words_equal(const void *a, const void *b, __u32 count)
{
	const __u32 *x = (const __u32 *)a, *y = (const __u32 *)b;
	__u32 difference = 0;

	for (__u32 i = 0; i < count; i++)
		difference |= x[i] ^ y[i];
	return difference == 0;
}

#endif /* KUDO_FLOW_CACHE_H */
