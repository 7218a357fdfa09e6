/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* What timestamps and times of arrival tell: the clock's rate, jitter, gaps in audio, frames. No helpers, no maps, no clock of
 * the host's.
 * Invariant: what needs the rate of the clock is not told before it is known.
 *
 * Jitter: RFC 3550 section 6.4.1 over all packets with media in order of arrival, in ns. Left out: steps of a second and more
 * between two packets' transit times, which are a new clock or a pause that the timestamps do not know, and steps over a
 * restart. Probes are left out: they have the timestamp of the media before them. The rate of the clock is ticks by time of
 * arrival over 1 to 60 s, if within 3 % of 8, 16, 48 or 90 kHz; else it is unknown, and so is the jitter. A rate that is known
 * holds until another was measured for five seconds in a row.
 *
 * Gaps in audio: from one packet with media to the next newer one. If packets are missing between, the gap is the time
 * between; else it is as long as the packet comes later than its timestamp says, and one frame of 20 ms, at most the time
 * between. So the pauses of discontinuous transmission are no gaps, nor are frames of 60 ms; of frames of 20 ms it is the time
 * between the packets. While the clock's rate is unknown only gaps with packets missing are known. */
#ifndef KUDO_RTP_CLOCK_H
#define KUDO_RTP_CLOCK_H

#include "rtp_windows.h"

#define KUDO_RTP_STEP 1000000000ull        /* ns: no jitter */
#define KUDO_RTP_FRAME 20000000            /* ns */
#define KUDO_RTP_CLOCK_LEAST 1000000000ull /* ns over which a clock's rate is measured */
#define KUDO_RTP_CLOCK_MOST 60000000000ull
#define KUDO_RTP_CLOCK_UNKNOWN 10000000000ull /* the same of an unknown clock */
#define KUDO_RTP_DOUBTS 5

#define KUDO_RTP_JUMPED 1u /* the last packet was unconfirmed: `jump` is next */
#define KUDO_RTP_MISSED 2u /* packets are missing since the last one with media */
#define KUDO_RTP_TIMED 4u  /* there was one with media since the stream began or restarted */

kudo_inline void kudo_rtp_clear(struct kudo_rtp_quality *quality, __u32 flags)
{
	quality->flags = (__u8)(quality->flags & ~flags);
}

/* 1024 ns a tick of the clock that has about so many ticks a second; 0: of none. */
kudo_inline __u32 kudo_rtp_scale_of(__u64 hertz)
{
	if (hertz - 7760 <= 480)
		return 128000000;
	if (hertz - 15520 <= 960)
		return 64000000;
	if (hertz - 46560 <= 2880)
		return 21333333;
	return hertz - 87300 <= 5400 ? 11377778 : 0;
}

kudo_inline void kudo_rtp_measure_clock(struct kudo_rtp_quality *quality)
{
	__u64 elapsed = quality->media_arrival - quality->base_arrival;

	if (quality->base_arrival == 0 || elapsed < KUDO_RTP_CLOCK_LEAST)
		return;
	__u32 ticks = quality->media_timestamp - quality->base_timestamp;
	__u32 scale = kudo_rtp_scale_of((__u64)ticks * 1000000000ull / elapsed);

	if (scale == quality->scale) {
		quality->doubts = 0;
	} else if (quality->scale == 0 || ++quality->doubts >= KUDO_RTP_DOUBTS) {
		quality->scale = scale;
		quality->doubts = 0;
		quality->jitter = 0;
	}
	if (elapsed > (quality->scale ? KUDO_RTP_CLOCK_MOST : KUDO_RTP_CLOCK_UNKNOWN)) {
		quality->base_arrival = quality->media_arrival;
		quality->base_timestamp = quality->media_timestamp;
	}
}

kudo_inline void kudo_rtp_add_gap(struct kudo_rtp_quality *quality, __u64 between, __s64 late)
{
	__s64 gap = (__s64)between;

	if (!(quality->flags & KUDO_RTP_MISSED)) {
		if (quality->scale == 0)
			return;
		if (late + KUDO_RTP_FRAME < gap)
			gap = late + KUDO_RTP_FRAME;
	}
	quality->gaps[0] += gap >= 60000000;
	quality->gaps[1] += gap >= 120000000;
	quality->gaps[2] += gap >= 250000000;
	quality->gaps[3] += gap >= 1000000000;
}

/* A packet with media; `newest`: no newer one came before it. */
kudo_inline void kudo_rtp_time(struct kudo_rtp_quality *quality, __u32 timestamp, int newest, __u64 now)
{
	__u64 between = now - quality->media_arrival;

	if (quality->flags & KUDO_RTP_TIMED) {
		__s32 ticks = (__s32)(timestamp - quality->media_timestamp);
		__s64 late = (__s64)between - ((__s64)ticks * quality->scale >> 10);
		__u64 step = late < 0 ? -(__u64)late : (__u64)late;

		if (newest && between >= 60000000)
			kudo_rtp_add_gap(quality, between, late);
		if (quality->scale != 0) {
			if (step < KUDO_RTP_STEP)
				quality->jitter += step - ((quality->jitter + 8) >> 4);
			else
				quality->base_arrival = 0;
		}
	}
	quality->media_arrival = now;
	quality->media_timestamp = timestamp;
	if (quality->base_arrival == 0) {
		quality->base_arrival = now;
		quality->base_timestamp = timestamp;
	}
	if (newest) {
		if (!(quality->flags & KUDO_RTP_TIMED) || timestamp != quality->frame_timestamp) {
			struct kudo_rtp_bin *bin = kudo_rtp_bin_of(quality, quality->second);
			bin->frames = kudo_add16(bin->frames, 1);
			quality->frame_timestamp = timestamp;
		}
		kudo_rtp_clear(quality, KUDO_RTP_MISSED);
	}
	quality->flags |= KUDO_RTP_TIMED;
}

#endif /* KUDO_RTP_CLOCK_H */
