/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* Loss by time: seconds, windows of 200 ms and of 15 s, outages. No helpers, no maps, no clock.
 * Invariant: a packet is missing in one second and one window at most, and unique ones are received in one each.
 *
 * Seconds, and windows of 200 ms, count missing packets when they are found to be missing, which is when the next packet
 * comes, and no more when they come after all. So their sum is lost + pending. Windows are by the clock, one behind the other;
 * the worst is the one with the largest share of missing packets, of equal shares the one with more packets. */
#ifndef KUDO_RTP_WINDOWS_H
#define KUDO_RTP_WINDOWS_H

#include "rtp.h"

#define KUDO_RTP_SLICE 200000000ull  /* ns */
#define KUDO_RTP_SLICES 5            /* a second */
#define KUDO_RTP_OUTAGE 250000000ull /* ns */
#define KUDO_RTP_WORST_SECONDS 15    /* a window of seconds */

kudo_inline struct kudo_rtp_bin *kudo_rtp_bin_of(struct kudo_rtp_quality *quality, __u32 second)
{
	return &quality->bins[kudo_index(second, KUDO_RTP_BINS - 1)];
}

kudo_inline __u16 kudo_add16(__u16 number, __u32 more)
{
	__u32 sum = number + more;

	return sum > 0xffff ? 0xffff : (__u16)sum;
}

kudo_inline void kudo_rtp_keep_worse(struct kudo_rtp_span *worst, const struct kudo_rtp_span *span)
{
	__u64 all = (__u64)span->received + span->missing, worst_all = (__u64)worst->received + worst->missing;
	__u64 share = span->missing * worst_all, worst_share = worst->missing * all;

	if (span->missing != 0 && (share > worst_share || (share == worst_share && all > worst_all)))
		*worst = *span;
}

/* How many windows of seconds end when this second begins: after so many there is nothing left in them. */
kudo_inline __u32 kudo_rtp_ended_seconds(const struct kudo_rtp_quality *quality, __u32 second)
{
	__u32 ended = second - quality->second;

	return ended < KUDO_RTP_WORST_SECONDS + 2 ? ended : KUDO_RTP_WORST_SECONDS + 2;
}

/* Of those the `index`th. A bin may change until the second behind it has ended, and only then is in `recent`. */
kudo_inline void kudo_rtp_end_second(struct kudo_rtp_quality *quality, __u32 index)
{
	__u32 age = quality->second - 1 + index - quality->first_second; /* of the second that enters */

	if (index < 2 && (__s32)age >= 0) {
		const struct kudo_rtp_bin *enters = kudo_rtp_bin_of(quality, quality->first_second + age);
		quality->recent.received += enters->received;
		quality->recent.missing += enters->missing;
	}
	if ((__s32)age >= KUDO_RTP_WORST_SECONDS) {
		const struct kudo_rtp_bin *leaves =
			kudo_rtp_bin_of(quality, quality->first_second + age - KUDO_RTP_WORST_SECONDS);
		quality->recent.received -= leaves->received;
		quality->recent.missing -= leaves->missing;
	}
	if ((__s32)age >= KUDO_RTP_WORST_SECONDS - 1)
		kudo_rtp_keep_worse(&quality->worst_15s, &quality->recent);
}

kudo_inline void kudo_rtp_begin_second(struct kudo_rtp_quality *quality, __u32 second)
{
	const struct kudo_rtp_bin none = {0, 0, 0, 0};

	for (__u32 i = 0; i < KUDO_RTP_BINS; i++) {
		if (i == second - quality->second)
			break;
		*kudo_rtp_bin_of(quality, second - i) = none;
	}
	quality->second = second;
}

/* A window of 200 ms has ended. One may change until the next has ended. The second in which the new one is. */
kudo_inline __u32 kudo_rtp_end_slice(struct kudo_rtp_quality *quality, __u64 now)
{
	const struct kudo_rtp_span none = {0, 0};
	__u64 slice = now / KUDO_RTP_SLICE;

	kudo_rtp_keep_worse(&quality->worst_slice, &quality->last_slice);
	if (now - quality->slice_end < KUDO_RTP_SLICE) {
		quality->last_slice = quality->slice;
	} else {
		kudo_rtp_keep_worse(&quality->worst_slice, &quality->slice);
		quality->last_slice = none;
	}
	quality->slice = none;
	quality->slice_end = (slice + 1) * KUDO_RTP_SLICE;
	return (__u32)(slice / KUDO_RTP_SLICES);
}

/* Packets are missing after such a time without any. */
kudo_inline void kudo_rtp_note_outage(struct kudo_rtp_quality *quality, __u32 missing, __u64 now)
{
	const struct kudo_rtp_bin *last = kudo_rtp_bin_of(quality, quality->second),
				  *before = kudo_rtp_bin_of(quality, quality->second - 1);
	__u32 rate = (__u32)last->received + last->repeated, rate_before = (__u32)before->received + before->repeated;
	struct kudo_rtp_outage *outage =
		&quality->outages[kudo_index(quality->outage_count++, KUDO_RTP_OUTAGES - 1)];

	outage->begin = quality->arrival;
	outage->milliseconds = (__u32)((now - quality->arrival) / 1000000);
	outage->missing = missing;
	outage->rate = rate > rate_before ? rate : rate_before;
}

kudo_inline void kudo_rtp_add_missing(struct kudo_rtp_quality *quality, __u32 missing)
{
	struct kudo_rtp_bin *bin = kudo_rtp_bin_of(quality, quality->second);

	quality->expected += missing;
	quality->slice.missing += missing;
	bin->missing = kudo_add16(bin->missing, missing);
}

/* One that was missing came after all. */
kudo_inline void kudo_rtp_remove_missing(struct kudo_rtp_quality *quality)
{
	if (quality->slice.missing)
		quality->slice.missing--;
	else if (quality->last_slice.missing)
		quality->last_slice.missing--;
	for (__u32 i = 0; i < 8; i++) {
		struct kudo_rtp_bin *bin = kudo_rtp_bin_of(quality, quality->second - i);
		if (bin->missing) {
			bin->missing--;
			if (i >= 2 && quality->recent.missing)
				quality->recent.missing--;
			break;
		}
	}
}

kudo_inline void kudo_rtp_add_unique(struct kudo_rtp_quality *quality)
{
	struct kudo_rtp_bin *bin = kudo_rtp_bin_of(quality, quality->second);

	quality->unique++;
	quality->slice.received++;
	bin->received = kudo_add16(bin->received, 1);
}

#endif /* KUDO_RTP_WINDOWS_H */
