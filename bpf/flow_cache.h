/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* The CPUs' flow caches: direct-mapped, in front of the flow tables. Which slot a flow has, and when it may have it.
 * Shared by the data path, which writes them, and by the agent, which adds them up.
 * Invariant: a flow has one slot only, so whoever reads that slot of every CPU and the table's row has read it all. */
#ifndef KUDO_FLOW_CACHE_H
#define KUDO_FLOW_CACHE_H

#include "abi.h"

/* Counts go to the flow table whenever the kernel's clock passes a multiple of 32 ticks (32 to 320 ms), which also
 * tells the table's LRU that the flow is in use. */
#define KUDO_CACHE_WRITE_BACK_SHIFT 5

/* Another flow takes a slot that nobody has used for so many ticks. A busy slot stays: changing it costs more than the
 * other flow's way to the flow table. */
#define KUDO_CACHE_IDLE_TICKS 16

/* Fibonacci hashing again. Odd slots are IPv6's. */
kudo_inline __u32 kudo_cache_fold(__u64 a, __u64 b)
{
	return (__u32)((a * 11400714819323198485ull ^ b) * 11400714819323198485ull >> 53) & (KUDO_CACHE_SLOTS - 2);
}

kudo_inline __u32 kudo_cache_slot4(const struct kudo_flow4_key *key)
{
	return kudo_cache_fold((__u64)key->remote << 32 | key->local,
			       (__u64)key->remote_port << 32 | (__u32)key->local_port << 8 | key->protocol);
}

kudo_inline __u32 kudo_cache_slot6(const struct kudo_flow6_key *key)
{
	__u64 remote[2], local[2];

	__builtin_memcpy(remote, key->remote, 16);
	__builtin_memcpy(local, key->local, 16);
	return 1 | kudo_cache_fold(
			   remote[0] ^ local[0] ^ (local[1] << 1),
			   remote[1] ^ ((__u64)key->remote_port << 32 | (__u32)key->local_port << 8 | key->protocol));
}

/* Without branches: they are nearly always equal. */
kudo_inline int kudo_same_flow4(const struct kudo_flow4_key *a, const struct kudo_flow4_key *b)
{
	const __u32 *x = (const __u32 *)a, *y = (const __u32 *)b;

	return ((x[0] ^ y[0]) | (x[1] ^ y[1]) | (x[2] ^ y[2]) | (x[3] ^ y[3]) | (x[4] ^ y[4])) == 0;
}

kudo_inline int kudo_same_flow6(const struct kudo_flow6_key *a, const struct kudo_flow6_key *b)
{
	const __u32 *x = (const __u32 *)a, *y = (const __u32 *)b;

	return ((x[0] ^ y[0]) | (x[1] ^ y[1]) | (x[2] ^ y[2]) | (x[3] ^ y[3]) | (x[4] ^ y[4]) | (x[5] ^ y[5]) |
		(x[6] ^ y[6]) | (x[7] ^ y[7]) | (x[8] ^ y[8]) | (x[9] ^ y[9]) | (x[10] ^ y[10])) == 0;
}

#endif /* KUDO_FLOW_CACHE_H */
