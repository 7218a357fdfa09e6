/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* What the network did to an RTP stream, by its packets' headers and their times of arrival. No helpers, no maps, no clock:
 * the time is an argument, in ns.
 * Invariants: expected = unique + lost + pending, where pending are the unseen ones of the window; packets taken = unique +
 * duplicate + late + unconfirmed. Work is bounded whatever comes.
 *
 * Loss. Sequence numbers count up over 16 bits, and the newest KUDO_RTP_SEEN_WINDOW are a window (or fewer: from the first
 * packet on, or an older one that came after it). A packet is
 * - unique: not seen before. Ahead of all others it moves the window, and those between are missing; in the window it is
 *   reordered too.
 * - duplicate: in the window, and seen.
 * - late: older than the window. Nobody can say any more whether it was seen.
 * - unconfirmed: more than KUDO_RTP_RESTART from the newest. Where the very next packet is the one behind it, the stream has
 *   restarted there: both are unique, what of the old window is unseen is lost, and a new window begins. So early media and a
 *   sender that begins again are no loss.
 * A sequence number is lost when it leaves the window unseen. Probes (packets of padding), retransmissions and error
 * correction on an SSRC have sequence numbers of that SSRC, and count as all others.
 *
 * Windows of time: rtp_windows.h. Jitter and gaps: rtp_clock.h. */
#ifndef KUDO_RTP_QUALITY_H
#define KUDO_RTP_QUALITY_H

#include "rtp_clock.h"

kudo_inline __u32 kudo_count_bits(__u64 word)
{
	word -= word >> 1 & 0x5555555555555555ull;
	word = (word & 0x3333333333333333ull) + (word >> 2 & 0x3333333333333333ull);
	word = (word + (word >> 4)) & 0x0f0f0f0f0f0f0f0full;
	return (__u32)(word * 0x0101010101010101ull >> 56);
}

/* Moves the window over so many sequence numbers that were not seen; fewer than KUDO_RTP_RESTART. */
kudo_inline void kudo_rtp_skip(struct kudo_rtp_quality *quality, __u32 missing)
{
	__u32 at = quality->highest + 1u, all = quality->extent + missing, seen = 0;
	__u32 left = missing < KUDO_RTP_SEEN_WINDOW ? missing : KUDO_RTP_SEEN_WINDOW;

	for (int i = 0; i <= KUDO_RTP_SEEN_WINDOW / 64; i++) {
		if (left == 0)
			break;
		__u32 bit = at & 63, count = 64 - bit < left ? 64 - bit : left;
		__u64 mask = (~0ull >> ((64 - count) & 63)) << bit;
		__u64 *word = &quality->seen[kudo_index(at >> 6, KUDO_RTP_SEEN_WINDOW / 64 - 1)];

		/* What is not in the window yet was not seen. */
		seen += kudo_count_bits(*word & mask);
		*word &= ~mask;
		at += count;
		left -= count;
	}
	if (all > KUDO_RTP_SEEN_WINDOW) {
		quality->lost += all - KUDO_RTP_SEEN_WINDOW - seen;
		all = KUDO_RTP_SEEN_WINDOW;
	}
	quality->extent = all;
	quality->highest = (__u16)(quality->highest + missing);
	quality->flags |= KUDO_RTP_MISSED;
	kudo_rtp_add_missing(quality, missing);
}

kudo_inline __u64 *kudo_rtp_seen_word(struct kudo_rtp_quality *quality, __u16 sequence)
{
	return &quality->seen[kudo_index(sequence >> 6, KUDO_RTP_SEEN_WINDOW / 64 - 1)];
}

/* The packet one ahead of the newest. */
kudo_inline void kudo_rtp_add_next(struct kudo_rtp_quality *quality, __u16 sequence)
{
	__u64 *word = kudo_rtp_seen_word(quality, sequence), bit = 1ull << (sequence & 63);

	if (quality->extent < KUDO_RTP_SEEN_WINDOW)
		quality->extent++;
	else if (!(*word & bit))
		quality->lost++;
	*word |= bit;
	quality->highest = sequence;
	quality->expected++;
	kudo_rtp_add_unique(quality);
}

/* One that is not newer than the newest: `behind` it. */
kudo_inline void kudo_rtp_add_old(struct kudo_rtp_quality *quality, __u16 sequence, __u32 behind)
{
	__u64 *word = kudo_rtp_seen_word(quality, sequence), bit = 1ull << (sequence & 63);
	struct kudo_rtp_bin *bin = kudo_rtp_bin_of(quality, quality->second);

	if (behind >= KUDO_RTP_SEEN_WINDOW || (*word & bit)) {
		if (behind >= KUDO_RTP_SEEN_WINDOW)
			quality->late++;
		else
			quality->duplicate++;
		bin->repeated = kudo_add16(bin->repeated, 1);
		return;
	}
	if (behind >= quality->extent) { /* before the first */
		quality->expected++;
		kudo_rtp_add_missing(quality, behind - quality->extent);
		quality->extent = behind + 1;
	} else {
		kudo_rtp_remove_missing(quality);
	}
	*word |= bit;
	quality->reordered++;
	kudo_rtp_add_unique(quality);
}

/* Confirmed by this packet: begins anew with the one before it. */
kudo_inline void kudo_rtp_restart(struct kudo_rtp_quality *quality, __u16 sequence)
{
	__u32 seen = 0;

	for (int i = 0; i < KUDO_RTP_SEEN_WINDOW / 64; i++) {
		seen += kudo_count_bits(quality->seen[i]);
		quality->seen[i] = 0;
	}
	quality->lost += quality->extent - seen;
	quality->extent = 0;
	quality->restarts++;
	quality->unconfirmed--;
	quality->base_arrival = 0;
	kudo_rtp_clear(quality, KUDO_RTP_JUMPED | KUDO_RTP_TIMED | KUDO_RTP_MISSED);
	kudo_rtp_add_next(quality, (__u16)(sequence - 1));
}

/* The first packet of a stream. `quality`: zeros. */
kudo_inline void kudo_begin_quality(struct kudo_rtp_quality *quality, const struct kudo_rtp_packet *packet, __u64 now)
{
	__u64 slice = now / KUDO_RTP_SLICE;

	quality->ssrc = packet->ssrc;
	quality->slice_end = (slice + 1) * KUDO_RTP_SLICE;
	quality->second = quality->first_second = (__u32)(slice / KUDO_RTP_SLICES);
	quality->first_arrival = quality->arrival = now;
	kudo_rtp_add_next(quality, packet->sequence);
	if (!packet->padding)
		kudo_rtp_time(quality, packet->timestamp, 1, now);
}

/* Is the packet the next one, and is nothing else to be done before it is added? */
kudo_inline int kudo_rtp_is_next(const struct kudo_rtp_quality *quality, __u16 sequence, __u64 now)
{
	return (__u16)(sequence - quality->highest) == 1 && now < quality->slice_end &&
	       !(quality->flags & KUDO_RTP_JUMPED);
}

/* A packet that is not the next one: 0: it is not added. Its stream's windows of time have not ended yet. */
kudo_inline int kudo_rtp_judge(struct kudo_rtp_quality *quality, __u16 sequence, __u64 now)
{
	__s16 ahead = (__s16)(sequence - quality->highest);

	if (ahead > KUDO_RTP_RESTART || ahead < -KUDO_RTP_RESTART) {
		if ((quality->flags & KUDO_RTP_JUMPED) && sequence == quality->jump)
			return 1;
		quality->unconfirmed++;
		quality->jump = sequence + 1;
		quality->flags |= KUDO_RTP_JUMPED;
		return 0;
	}
	kudo_rtp_clear(quality, KUDO_RTP_JUMPED);
	if (ahead > 1 && now - quality->arrival >= KUDO_RTP_OUTAGE)
		kudo_rtp_note_outage(quality, (__u32)ahead - 1, now);
	return 1;
}

/* Makes the packet, which was judged, the next one if it is newer than the newest. */
kudo_inline void kudo_rtp_move(struct kudo_rtp_quality *quality, __u16 sequence)
{
	__s16 ahead = (__s16)(sequence - quality->highest);

	if (quality->flags & KUDO_RTP_JUMPED)
		kudo_rtp_restart(quality, sequence);
	else if (ahead > 1)
		kudo_rtp_skip(quality, (__u32)ahead - 1);
}

/* Adds the packet itself. */
kudo_inline void kudo_rtp_take(struct kudo_rtp_quality *quality, const struct kudo_rtp_packet *packet, __u64 now)
{
	__s16 ahead = (__s16)(packet->sequence - quality->highest);

	if (ahead > 0)
		kudo_rtp_add_next(quality, packet->sequence);
	else
		kudo_rtp_add_old(quality, packet->sequence, (__u32)-ahead);
	quality->arrival = now;
	if (!packet->padding)
		kudo_rtp_time(quality, packet->timestamp, ahead > 0, now);
}

/* A later one. `now`: not before the last one's. The data path has these lines too, in functions that verifiers take one by
 * one: kudo_note_quality() and what it calls. */
kudo_inline void kudo_add_quality(struct kudo_rtp_quality *quality, const struct kudo_rtp_packet *packet, __u64 now)
{
	if (!kudo_rtp_is_next(quality, packet->sequence, now)) {
		if (!kudo_rtp_judge(quality, packet->sequence, now))
			return;
		if (now >= quality->slice_end) {
			__u32 second = kudo_rtp_end_slice(quality, now);
			__u32 ended = kudo_rtp_ended_seconds(quality, second);

			for (__u32 i = 0; i < ended; i++)
				kudo_rtp_end_second(quality, i);
			if (ended != 0) {
				kudo_rtp_begin_second(quality, second);
				kudo_rtp_measure_clock(quality);
			}
		}
		kudo_rtp_move(quality, packet->sequence);
	}
	kudo_rtp_take(quality, packet, now);
}

#endif /* KUDO_RTP_QUALITY_H */
