/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* The tables of RTP streams: finds a packet's stream, enters one that begins, and which of a flow's are videos.
 * Invariant: where a row lies is told by rtp_table.h; a row's quality begins anew with its stream. */
#ifndef KUDO_RTP_STREAMS_BPF_H
#define KUDO_RTP_STREAMS_BPF_H

#include "rtp_quality.bpf.h"
#include "rtp_table.h"

/* Of one IP version: where the rows of a stream of flow `flow` may be; that row, as `way` in kudo_scratch says; the stream of
 * the current packet's flow, null: nothing is known of it; and what enters it. The way comes from memory so that the verifier
 * need not follow each by itself. */
#define KUDO_RTP_TABLE(VERSION)                                                                                        \
	kudo_inline struct kudo_rtp##VERSION##_bucket *kudo_bucket##VERSION(                                           \
		const struct kudo_flow##VERSION##_key *flow, __u32 ssrc, __u32 direction, __u32 *element,              \
		__u32 *tag)                                                                                            \
	{                                                                                                              \
		__u64 hash = kudo_stream_hash##VERSION(flow, ssrc);                                                    \
                                                                                                                       \
		*element = kudo_stream_bucket(hash, direction, KUDO_RTP##VERSION##_BUCKETS);                           \
		*tag = kudo_stream_tag(hash);                                                                          \
		return bpf_map_lookup_elem(&kudo_rtp##VERSION, element);                                               \
	}                                                                                                              \
                                                                                                                       \
	kudo_inline struct kudo_rtp##VERSION##_row *kudo_row##VERSION(struct kudo_rtp##VERSION##_bucket *bucket,       \
								      const volatile __u32 *way)                       \
	{                                                                                                              \
		return &bucket->rows[kudo_index(*way, KUDO_RTP_WAYS - 1)];                                             \
	}                                                                                                              \
                                                                                                                       \
	kudo_inline struct kudo_rtp_stream *kudo_find_stream##VERSION(const struct kudo_flow##VERSION##_key *flow,      \
								      __u32 ssrc, __u32 direction,                     \
								      volatile __u32 *way, __u32 *quality)             \
	{                                                                                                              \
		__u32 element, tag;                                                                                    \
		struct kudo_rtp##VERSION##_bucket *bucket =                                                            \
			kudo_bucket##VERSION(flow, ssrc, direction, &element, &tag);                                   \
                                                                                                                       \
		if (!bucket || !kudo_find_way(bucket->tags, tag, way))                                                 \
			return 0;                                                                                      \
		struct kudo_rtp##VERSION##_row *row = kudo_row##VERSION(bucket, way);                                  \
		if (row->ssrc != ssrc || !kudo_words_equal(&row->flow, flow, sizeof(*flow) / 4))                       \
			return 0;                                                                                      \
		*quality = kudo_quality_row##VERSION(element, *way);                                                   \
		return &row->stream;                                                                                   \
	}                                                                                                              \
                                                                                                                       \
	kudo_inline void kudo_enter_stream##VERSION(struct kudo_scratch *scratch, __u32 direction, __u64 now)          \
	{                                                                                                              \
		const struct kudo_flow##VERSION##_key *flow = &scratch->packet.key##VERSION;                           \
		__u32 ssrc = scratch->rtp.ssrc, element, tag;                                                          \
		struct kudo_rtp##VERSION##_bucket *bucket =                                                            \
			kudo_bucket##VERSION(flow, ssrc, direction, &element, &tag);                                   \
                                                                                                                       \
		if (!bucket)                                                                                           \
			return;                                                                                        \
		__u64 oldest = bucket->rows[0].stream.last_seen; /* 0 of a row that was never used */                  \
		*(volatile __u32 *)&scratch->way = 0;                                                                  \
		for (__u32 way = 1; way < KUDO_RTP_WAYS; way++) {                                                      \
			if (bucket->rows[way].stream.last_seen < oldest) {                                             \
				oldest = bucket->rows[way].stream.last_seen;                                           \
				*(volatile __u32 *)&scratch->way = way;                                                \
			}                                                                                              \
		}                                                                                                      \
		struct kudo_rtp##VERSION##_row *row = kudo_row##VERSION(bucket, &scratch->way);                        \
		row->flow = *flow;                                                                                     \
		row->ssrc = ssrc;                                                                                      \
		row->stream = (struct kudo_rtp_stream){};                                                              \
		kudo_begin_rtp(&row->stream, &scratch->rtp);                                                           \
		row->stream.last_seen = now;                                                                           \
		bucket->tags[kudo_index(*(volatile __u32 *)&scratch->way, KUDO_RTP_WAYS - 1)] = tag;                   \
		scratch->row = kudo_quality_row##VERSION(element, *(volatile __u32 *)&scratch->way);                   \
	}

kudo_inline int kudo_find_way(const __u32 *tags, __u32 tag, volatile __u32 *found)
{
	for (__u32 way = 0; way < KUDO_RTP_WAYS; way++) {
		if (tags[way] == tag) {
			*found = way;
			return 1;
		}
	}
	return 0;
}

KUDO_RTP_TABLE(4)
KUDO_RTP_TABLE(6)

kudo_inline struct kudo_rtp_stream *kudo_find_stream(struct kudo_scratch *scratch, const struct kudo_packet *packet,
						     __u32 ssrc, __u32 direction)
{
	return packet->family == 4 ? kudo_find_stream4(&packet->key4, ssrc, direction, &scratch->way, &scratch->row)
				   : kudo_find_stream6(&packet->key6, ssrc, direction, &scratch->way, &scratch->row);
}

/* Enters the stream that the current packet begins. */
kudo_noinline int kudo_enter_stream(__u32 direction)
{
	struct kudo_cpu *cpu = kudo_this_cpu();

	if (!cpu)
		return 0;
	struct kudo_scratch *scratch = kudo_scratch_of(cpu);

	if (scratch->packet.family == 4)
		kudo_enter_stream4(scratch, direction, bpf_jiffies64());
	else
		kudo_enter_stream6(scratch, direction, bpf_jiffies64());
	return 0;
}

/* The current packet's flow's videos; null: there are none, and no `fresh`. */
kudo_inline struct kudo_rtp_videos *kudo_videos_of(const struct kudo_packet *packet, __u32 direction,
						   const struct kudo_rtp_videos *fresh)
{
	if (packet->family == 4) {
		struct kudo_flow4_key key = packet->key4;
		key.pad[0] = (__u8)direction;
		return kudo_find_or_enter(&kudo_videos4, &key, fresh);
	}
	struct kudo_flow6_key key = packet->key6;
	key.pad[0] = (__u8)direction;
	return kudo_find_or_enter(&kudo_videos6, &key, fresh);
}

/* Notes that the current packet's SSRC is video. */
kudo_noinline int kudo_note_video(__u32 direction)
{
	struct kudo_cpu *cpu = kudo_this_cpu();
	struct kudo_rtp_videos none = {};

	if (!cpu)
		return 0;
	struct kudo_rtp_videos *videos = kudo_videos_of(&kudo_scratch_of(cpu)->packet, direction, &none);
	if (!videos)
		return 0;
	__u32 known = 0;
	for (int i = 0; i < KUDO_RTP_MAX_VIDEOS; i++)
		known |= videos->ssrcs[i] == kudo_scratch_of(cpu)->rtp.ssrc;
	if (!known)
		videos->ssrcs[kudo_index(videos->next++, KUDO_RTP_MAX_VIDEOS - 1)] = kudo_scratch_of(cpu)->rtp.ssrc;
	return 0;
}

/* Does the current packet repeat the timestamps of the video with this SSRC? */
kudo_noinline int kudo_repeats_ssrc(__u32 ssrc, __u32 direction)
{
	struct kudo_cpu *cpu = kudo_this_cpu();

	if (!cpu)
		return 0;
	struct kudo_scratch *scratch = kudo_scratch_of(cpu);
	const struct kudo_rtp_stream *video = kudo_find_stream(scratch, &scratch->packet, ssrc, direction);

	return video && kudo_rtp_repeats(&scratch->rtp, video);
}

/* Does it repeat those of any video of its flow? */
kudo_noinline int kudo_repeats_video(__u32 direction)
{
	struct kudo_cpu *cpu = kudo_this_cpu();

	if (!cpu)
		return 0;
	const struct kudo_rtp_videos *videos = kudo_videos_of(&kudo_scratch_of(cpu)->packet, direction, 0);

	if (!videos)
		return 0;
	for (int i = 0; i < KUDO_RTP_MAX_VIDEOS; i++)
		if (videos->ssrcs[i] != 0 && kudo_repeats_ssrc(videos->ssrcs[i], direction))
			return 1;
	return 0;
}

/* What is rarely to be done for a datagram: its stream is new, 0, or has just become `kind`. */
kudo_noinline int kudo_keep_stream(__u32 direction, __u32 kind)
{
	if (kind == KUDO_RTP_AUDIO)
		return kudo_repeats_video(direction);
	if (kind == KUDO_RTP_VIDEO)
		return kudo_note_video(direction);
	kudo_enter_stream(direction);
	/* Not from there: the stacks of functions that call each other have 512 bytes together, and on 6.1 that was too much. */
	return kudo_begin_row();
}

#endif /* KUDO_RTP_STREAMS_BPF_H */
