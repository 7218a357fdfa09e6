/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* STUN on a media flow as a probe of its path, by the messages' headers: round-trip times, requests without a response, and
 * the address that the far side sees. No helpers, no maps, no clock: the time is an argument, in ns.
 * Invariants: only a response with the transaction of one of the last KUDO_STUN_PENDING requests counts, each once: who has not
 * seen the request cannot make one up (RFC 8489 section 5: 96 random bits). Requests = responses + those without one.
 *
 * A transaction that is sent again counts once, as one that has no round-trip time: which of the two was answered cannot be
 * known (Karn). The round trip begins where the request is seen, which is before this host's queue.
 * Messages inside of TURN's indications and channels are not of this path, and not looked at. */
#ifndef KUDO_STUN_PROBE_H
#define KUDO_STUN_PROBE_H

#include "rtp.h"
#include "stun.h"

#define KUDO_STUN_XOR_MAPPED 0x0020 /* RFC 8489 section 14.2 */
#define KUDO_STUN_SUCCESS 0x0100    /* this class, RFC 8489 section 5 */

/* Of microseconds: below 64 each bucket has 8, above each octave has 8 buckets. The last one has all from 3.9 s on. */
kudo_inline __u32 kudo_rtt_bucket(__u32 microseconds)
{
	__u32 octave = 0;

	if (microseconds < 64)
		return microseconds >> 3;
	for (__u32 shift = 16; shift != 0; shift >>= 1) {
		if (microseconds >> octave >> shift)
			octave += shift;
	}
	__u32 bucket = (octave - 5) * 8 + (microseconds >> (octave - 3) & 7);
	return bucket < KUDO_RTT_BUCKETS ? bucket : KUDO_RTT_BUCKETS - 1;
}

/* Where is the transaction among the last ones? 0: nowhere. The place comes by memory, so that verifiers do not follow each by
 * itself. */
kudo_inline int kudo_find_transaction(const struct kudo_stun_probe *probe, const __u32 id[3], volatile __u32 *place)
{
	for (__u32 i = 0; i < KUDO_STUN_PENDING; i++) {
		const struct kudo_stun_transaction *one = &probe->pending[i];

		if (one->sent != 0 && ((one->id[0] ^ id[0]) | (one->id[1] ^ id[1]) | (one->id[2] ^ id[2])) == 0) {
			*place = i;
			return 1;
		}
	}
	return 0;
}

kudo_inline struct kudo_stun_transaction *kudo_transaction_at(struct kudo_stun_probe *probe, __u32 place)
{
	return &probe->pending[kudo_index(place, KUDO_STUN_PENDING - 1)];
}

/* This host sends a request. */
kudo_inline void kudo_probe_request(struct kudo_stun_probe *probe, const __u32 id[3], __u64 now, volatile __u32 *place)
{
	probe->last_request = now;
	if (kudo_find_transaction(probe, id, place)) {
		kudo_transaction_at(probe, *place)->sent_again = 1;
		probe->retransmitted++;
		return;
	}
	struct kudo_stun_transaction *next = kudo_transaction_at(probe, (__u32)probe->requests++);

	next->id[0] = id[0];
	next->id[1] = id[1];
	next->id[2] = id[2];
	next->sent_again = next->answered = 0;
	next->sent = now;
}

/* A response comes in. 1: to a request of this host, and for the first time. */
kudo_inline int kudo_probe_response(struct kudo_stun_probe *probe, const __u32 id[3], __u64 now, volatile __u32 *place)
{
	if (!kudo_find_transaction(probe, id, place))
		return 0;
	struct kudo_stun_transaction *one = kudo_transaction_at(probe, *place);

	if (one->answered)
		return 0;
	one->answered = 1;
	probe->responses++;
	probe->last_response = now;
	if (!one->sent_again) {
		__u64 nanoseconds = now - one->sent;
		__u32 rtt = nanoseconds > 1000ull * 0xffffffff ? 0xffffffff : (__u32)(nanoseconds / 1000);
		__u32 bucket = kudo_rtt_bucket(rtt);

		probe->rtt_last = rtt;
		if (probe->round_trips++ == 0 || rtt < probe->rtt_min)
			probe->rtt_min = rtt;
		kudo_opaque(bucket);
		if (bucket < KUDO_RTT_BUCKETS)
			probe->rtts[bucket]++;
	}
	return 1;
}

/* A packet comes in, of whatever kind. */
kudo_inline void kudo_probe_inbound(struct kudo_stun_probe *probe, __u64 now)
{
	if (probe->last_inbound != 0 && now - probe->last_inbound > probe->quiet)
		probe->quiet = now - probe->last_inbound;
	probe->last_inbound = now;
}

/* A response says how the far side sees this host. */
kudo_inline void kudo_probe_mapped(struct kudo_stun_probe *probe, const struct kudo_mapped_address *mapped, __u64 now)
{
	__u32 old_words[5], words[5], differs = 0;

	__builtin_memcpy(old_words, &probe->mapped, sizeof(old_words));
	__builtin_memcpy(words, mapped, sizeof(words));
	for (int i = 0; i < 5; i++)
		differs |= old_words[i] ^ words[i];
	if (differs && probe->mapped.family != 0) {
		probe->mapped_before = probe->mapped;
		probe->mapped_changes++;
		probe->changed = now;
		probe->changed_quiet = probe->quiet;
	}
	probe->mapped = *mapped;
	probe->quiet = 0;
}

/* The XOR-MAPPED-ADDRESS of a success response. `bytes`: KUDO_RTP_WINDOW bytes of memory, of which the first `available` are
 * the message's. 0: there is none, or not there. `mapped`: zeros. */
kudo_inline int kudo_read_mapped(const __u8 *bytes, __u32 available, struct kudo_mapped_address *mapped)
{
	__u32 offset = KUDO_STUN_HEADER, end;

	if (available < KUDO_STUN_HEADER || available > KUDO_RTP_WINDOW ||
	    (kudo_load16(bytes) & KUDO_STUN_CLASS) != KUDO_STUN_SUCCESS)
		return 0;
	end = KUDO_STUN_HEADER + kudo_load16(bytes + 2);
	if (end > available)
		end = available;
	for (int i = 0; i < 6; i++) {
		kudo_opaque(offset);
		if (offset > KUDO_RTP_WINDOW - 12 || offset + 12 > end)
			return 0;
		kudo_opaque(offset);
		offset &= 127; /* changes nothing: verifiers before 6.8 lose what was compared with a copy */
		__u32 type = kudo_load16(bytes + offset), size = kudo_load16(bytes + offset + 2);

		if (type == KUDO_STUN_XOR_MAPPED) {
			const __u8 *value = bytes + offset + 4;
			__u32 length = value[1] == 1 ? 4 : value[1] == 2 ? 16 : 0;

			if (length == 0 || size != length + 4 || offset + 8 + length > end)
				return 0;
			mapped->family = length == 4 ? 4 : 6;
			mapped->port = (__u16)(kudo_load16(value + 2) ^ KUDO_STUN_COOKIE >> 16);
			for (__u32 k = 0; k < 16; k++) /* with the cookie and the transaction */
				mapped->address[k] = k < length ? value[4 + k] ^ bytes[4 + k] : 0;
			return 1;
		}
		offset += 4 + ((size + 3) & ~3u);
	}
	return 0;
}

#endif /* KUDO_STUN_PROBE_H */
