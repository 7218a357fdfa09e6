/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* Adds packets to their streams' quality (rtp_quality.h), in functions that verifiers take one by one.
 * Invariant: the same as kudo_begin_quality() and kudo_add_quality(), which the tests hold it to. Rows are changed without a
 * lock: two CPUs that add a packet of one stream at once may lose one of them. */
#ifndef KUDO_RTP_QUALITY_BPF_H
#define KUDO_RTP_QUALITY_BPF_H

#include "flow.bpf.h"
#include "rtp_quality.h"

/* The parts of kudo_add_quality() that are rarely needed. `row`: of kudo_qualities. */
kudo_inline struct kudo_rtp_quality *kudo_quality_at(__u32 row)
{
	return bpf_map_lookup_elem(&kudo_qualities, &row);
}

kudo_noinline int kudo_end_second(__u32 row, __u32 index)
{
	struct kudo_rtp_quality *quality = kudo_quality_at(row);

	if (quality)
		kudo_rtp_end_second(quality, index);
	return 0;
}

kudo_noinline int kudo_begin_second(__u32 row, __u32 second)
{
	struct kudo_rtp_quality *quality = kudo_quality_at(row);

	if (!quality)
		return 0;
	kudo_rtp_begin_second(quality, second);
	kudo_rtp_measure_clock(quality);
	return 0;
}

kudo_noinline int kudo_end_slice(__u32 row, __u64 now)
{
	struct kudo_rtp_quality *quality = kudo_quality_at(row);

	if (!quality)
		return 0;
	__u32 second = kudo_rtp_end_slice(quality, now), ended = kudo_rtp_ended_seconds(quality, second);

	for (__u32 i = 0; i < KUDO_RTP_WORST_SECONDS + 2; i++) {
		if (i >= ended)
			break;
		kudo_end_second(row, i);
	}
	if (ended != 0)
		kudo_begin_second(row, second);
	return 0;
}

kudo_noinline int kudo_judge_sequence(__u32 row, __u32 sequence, __u64 now)
{
	struct kudo_rtp_quality *quality = kudo_quality_at(row);

	return quality && kudo_rtp_judge(quality, (__u16)sequence, now);
}

kudo_noinline int kudo_move_window(__u32 row, __u32 sequence)
{
	struct kudo_rtp_quality *quality = kudo_quality_at(row);

	if (quality)
		kudo_rtp_move(quality, (__u16)sequence);
	return 0;
}

/* Adds the packet of a stream that is known to its quality, which is this row of them. 1: a window of 200 ms has ended. */
kudo_noinline int kudo_note_quality(__u32 row, __u32 sequence, __u32 padding, __u32 timestamp)
{
	struct kudo_rtp_quality *quality = kudo_quality_at(row);
	const struct kudo_rtp_packet packet = {
		.sequence = (__u16)sequence, .padding = (__u8)padding, .timestamp = timestamp};

	if (!quality)
		return 0;
	__u64 now = bpf_ktime_get_ns();
	int ended = now >= quality->slice_end;

	if (!kudo_rtp_is_next(quality, packet.sequence, now)) {
		if (!kudo_judge_sequence(row, packet.sequence, now))
			return 0;
		if (ended)
			kudo_end_slice(row, now);
		kudo_move_window(row, packet.sequence);
	}
	kudo_rtp_take(quality, &packet, now);
	return ended;
}

/* The stream that the current packet begins has this row now. */
kudo_noinline int kudo_begin_row(void)
{
	struct kudo_cpu *cpu = kudo_this_cpu();

	if (!cpu)
		return 0;
	const struct kudo_scratch *scratch = kudo_scratch_of(cpu);
	struct kudo_rtp_quality *quality = kudo_quality_at(scratch->row);
	if (!quality)
		return 0;
	for (__u32 i = 0; i < sizeof(*quality) / sizeof(__u64); i++)
		((volatile __u64 *)quality)[i] = 0;
	kudo_begin_quality(quality, &scratch->rtp, bpf_ktime_get_ns());
	return 0;
}

#endif /* KUDO_RTP_QUALITY_BPF_H */
