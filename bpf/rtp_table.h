/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* The tables of RTP streams: where a stream's row is. Shared by the data path, which writes them, and the tests.
 *
 * A hash of the flow and the SSRC selects a bucket of KUDO_RTP_WAYS rows, and a tag that tells the rows apart. A new stream
 * takes the row that has not been used for longest. Each direction has buckets of its own, so that whoever forges incoming
 * packets cannot push out the streams that outgoing packets are marked by. (The lists of flows' videos, kudo_videos4 and
 * kudo_videos6, are shared: they serve only to tell retransmissions.)
 *
 * Invariants: a row is only used by a packet whose flow and SSRC are the row's; the tag is a hint. Rows are changed without a
 * lock. Two CPUs that take one row at once, or one that takes it while another still adds a packet to its last stream, may
 * mix what is known of them: a few packets later it is right again, and until then the evidence must still agree
 * (kudo_rtp_add_evidence()). With N streams the chance that more than KUDO_RTP_WAYS meet in one bucket, where they would push
 * each other out, is below one in 1000 for up to 3000 streams of a direction. */
#ifndef KUDO_RTP_TABLE_H
#define KUDO_RTP_TABLE_H

#include "abi.h"

/* Fibonacci hashing, twice: bits of the product depend on lower ones only. */
kudo_inline __u64 kudo_stream_mix(__u64 a, __u64 b)
{
	__u64 hash = a * 11400714819323198485ull ^ b;

	return (hash ^ hash >> 32) * 11400714819323198485ull;
}

kudo_inline __u64 kudo_stream_hash4(const struct kudo_flow4_key *flow, __u32 ssrc)
{
	return kudo_stream_mix(((__u64)flow->remote << 32 | flow->local) + flow->interface * 0x165667b19e3779f9ull,
			       ((__u64)flow->remote_port << 16 | flow->local_port) << 32 | ssrc);
}

kudo_inline __u64 kudo_stream_hash6(const struct kudo_flow6_key *flow, __u32 ssrc)
{
	__u64 remote[2], local[2];

	__builtin_memcpy(remote, flow->remote, 16);
	__builtin_memcpy(local, flow->local, 16);
	return kudo_stream_mix(remote[0] + local[0] * 0x9e3779b97f4a7c55ull + local[1] * 0xc2b2ae3d27d4eb4full +
				       flow->interface * 0x165667b19e3779f9ull,
			       remote[1] ^ (((__u64)flow->remote_port << 16 | flow->local_port) << 32 | ssrc));
}

/* `buckets`: a power of two, at most 2048. */
kudo_inline __u32 kudo_stream_bucket(__u64 hash, __u32 direction, __u32 buckets)
{
	return ((__u32)(hash >> 53) & (buckets - 1)) + (direction == KUDO_INGRESS ? 0 : buckets);
}

/* Which element of kudo_qualities is of this row. */
kudo_inline __u32 kudo_quality_row4(__u32 element, __u32 way)
{
	return element * KUDO_RTP_WAYS + way;
}

kudo_inline __u32 kudo_quality_row6(__u32 element, __u32 way)
{
	return (KUDO_RTP4_BUCKETS * KUDO_DIRECTIONS + element) * KUDO_RTP_WAYS + way;
}

kudo_inline __u32 kudo_stream_tag(__u64 hash)
{
	return (__u32)(hash >> 21) | 1;
}

#endif /* KUDO_RTP_TABLE_H */
