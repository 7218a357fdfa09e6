/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* How a media packet is treated: finds its RTP stream, adds the packet to what is known of it, tells audio from video. Of
 * the programs that see a packet the one that counts it observes it.
 * Invariant: nothing here decides over pass or drop, and no packet is changed. */
#ifndef KUDO_RTP_BPF_H
#define KUDO_RTP_BPF_H

#include "flow.bpf.h"
#include "rtp.h"
#include "rtp_table.h"

/* All of an RTP header, bare or in ChannelData. */
struct kudo_rtp_head {
	__u32 words[4];
} KUDO_WIRE(4);
/* As much as is looked at; and, where no helper can copy less, what of it has a header behind an indication's header and
 * an IPv6 peer address. */
struct kudo_rtp_window {
	__u32 words[KUDO_RTP_WINDOW / 4];
} KUDO_WIRE(4);
struct kudo_rtp_indication {
	__u32 words[16];
} KUDO_WIRE(4);

/* Of one IP version: where the rows of a stream of flow `flow` may be; that row, as `way` in kudo_scratch says; the stream of
 * the current packet's flow, null: nothing is known of it; and what enters it. The way comes from memory so that the verifier
 * need not follow each by itself. */
#define KUDO_RTP_TABLE(VERSION)                                                                                        \
	kudo_inline struct kudo_rtp##VERSION##_bucket *kudo_bucket##VERSION(                                           \
		const struct kudo_flow##VERSION##_key *flow, __u32 ssrc, __u32 direction, __u32 *tag)                  \
	{                                                                                                              \
		__u64 hash = kudo_stream_hash##VERSION(flow, ssrc);                                                    \
		__u32 element = kudo_stream_bucket(hash, direction, KUDO_RTP##VERSION##_BUCKETS);                      \
                                                                                                                       \
		*tag = kudo_stream_tag(hash);                                                                          \
		return bpf_map_lookup_elem(&kudo_rtp##VERSION, &element);                                              \
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
								      volatile __u32 *way)                             \
	{                                                                                                              \
		__u32 tag;                                                                                             \
		struct kudo_rtp##VERSION##_bucket *bucket = kudo_bucket##VERSION(flow, ssrc, direction, &tag);         \
                                                                                                                       \
		if (!bucket || !kudo_find_way(bucket->tags, tag, way))                                                 \
			return 0;                                                                                      \
		struct kudo_rtp##VERSION##_row *row = kudo_row##VERSION(bucket, way);                                  \
		if (row->ssrc != ssrc || !kudo_words_equal(&row->flow, flow, sizeof(*flow) / 4))                       \
			return 0;                                                                                      \
		return &row->stream;                                                                                   \
	}                                                                                                              \
                                                                                                                       \
	kudo_inline void kudo_enter_stream##VERSION(struct kudo_scratch *scratch, __u32 direction,                     \
						    const struct kudo_rtp_stream *first)                               \
	{                                                                                                              \
		const struct kudo_flow##VERSION##_key *flow = &scratch->packet.key##VERSION;                           \
		__u32 ssrc = scratch->rtp.ssrc, tag;                                                                   \
		struct kudo_rtp##VERSION##_bucket *bucket = kudo_bucket##VERSION(flow, ssrc, direction, &tag);         \
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
		row->stream = *first;                                                                                  \
		bucket->tags[kudo_index(*(volatile __u32 *)&scratch->way, KUDO_RTP_WAYS - 1)] = tag;                   \
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
	return packet->family == 4 ? kudo_find_stream4(&packet->key4, ssrc, direction, &scratch->way)
				   : kudo_find_stream6(&packet->key6, ssrc, direction, &scratch->way);
}

/* Enters the stream that the current packet begins. */
kudo_noinline int kudo_enter_stream(__u32 direction)
{
	struct kudo_cpu *cpu = kudo_this_cpu();
	struct kudo_rtp_stream first = {};

	if (!cpu)
		return 0;
	struct kudo_scratch *scratch = kudo_scratch_of(cpu);

	kudo_begin_rtp(&first, &scratch->rtp);
	first.last_seen = bpf_jiffies64();
	if (scratch->packet.family == 4)
		kudo_enter_stream4(scratch, direction, &first);
	else
		kudo_enter_stream6(scratch, direction, &first);
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
	return kind == KUDO_RTP_VIDEO ? kudo_note_video(direction) : kudo_enter_stream(direction);
}

/* Enum kudo_treatment of a datagram of this packet's flow. `observing`: what it says of its stream is kept. */
kudo_inline __u32 kudo_treat_rtp(struct kudo_scratch *scratch, const struct kudo_packet *packet,
				 const struct kudo_rtp_packet *rtp, __u32 direction, __u32 observing)
{
	struct kudo_rtp_stream *stream = 0;

	if (rtp->content == KUDO_CONTENT_RTP || rtp->content == KUDO_CONTENT_RTCP)
		stream = kudo_find_stream(scratch, packet, rtp->ssrc, direction);
	if (observing && rtp->content == KUDO_CONTENT_RTP) {
		__u32 kind = stream ? stream->kind : 0;
		int fits = stream && kudo_observe_rtp(stream, rtp);

		if (!stream || stream->kind != kind) {
			kudo_put_packet(&scratch->packet, packet);
			if (rtp != &scratch->rtp)
				scratch->rtp = *rtp;
			if (!stream) {
				kudo_keep_stream(direction, 0);
				return KUDO_TREATMENT_VIDEO;
			}
			if (stream->kind == KUDO_RTP_VIDEO ||
			    (stream->kind == KUDO_RTP_AUDIO && kudo_rtp_may_repeat(stream))) {
				if (kudo_keep_stream(direction, stream->kind) && stream->kind == KUDO_RTP_AUDIO)
					kudo_rtp_call_repeated(stream);
			}
		}
		stream->last_seen = bpf_jiffies64();
		if (!fits)
			return KUDO_TREATMENT_VIDEO;
	}
	return kudo_media_treatment(rtp->content, stream);
}

/* The same of a plain UDP packet, parsed by kudo_parse_fast_head(), whose payload begins with RTP or with it in ChannelData,
 * as nearly all media does. KUDO_TREATMENTS: kudo_treat_datagram() must look at it. `segment_size`: of a GSO packet. */
kudo_inline __u32 kudo_treat_plain(struct kudo_scratch *scratch, const void *data, const void *end,
				   const struct kudo_frame *frame, const struct kudo_packet *packet, __u32 segment_size,
				   __u32 observing)
{
	/* Not by the packet's offsets, which verifiers do not know by now. */
	const __u8 *payload = (const __u8 *)data +
			      (frame->link == KUDO_LINK_NONE ? 0 : sizeof(struct kudo_ethernet_header)) +
			      (packet->family == 4 ? sizeof(struct kudo_ipv4_header) : sizeof(struct kudo_ipv6_header)) +
			      sizeof(struct kudo_udp_header);
	__u32 length = packet->l3_length - packet->header_length;
	struct kudo_rtp_packet rtp;

	kudo_opaque(payload); /* so that what is compared is what is read from */
	const struct kudo_rtp_head *head = (const void *)payload;
	if (segment_size != 0 && length > segment_size)
		length = segment_size;
	if (length < sizeof(*head) || (const void *)(head + 1) > end || !kudo_read_rtp_fast(head->words, length, &rtp))
		return KUDO_TREATMENTS;
	return kudo_treat_rtp(scratch, packet, &rtp, frame->direction, observing);
}

/* Reads what kudo_read_rtp_fast() does not, from the beginning of a datagram in kudo_scratch: of `available` bytes. */
kudo_noinline int kudo_read_payload(__u32 available, __u32 length)
{
	struct kudo_cpu *cpu = kudo_this_cpu();

	if (cpu)
		kudo_read_rtp(kudo_scratch_of(cpu)->payload, available, length, &kudo_scratch_of(cpu)->rtp);
	return 0;
}

/* How long the current packet's datagram is: of a GSO packet the first one. The others are of the same stream, or nearly
 * always. 0: there is none. */
kudo_inline __u32 kudo_datagram_length(const struct kudo_packet *packet, __u32 segment_size)
{
	__u32 offset = packet->l3_offset + packet->header_length, end = packet->l3_offset + packet->l3_length;

	if (packet->header_length == 0 || offset >= end)
		return 0;
	return segment_size != 0 && end - offset > segment_size ? segment_size : end - offset;
}

/* Enum kudo_treatment of the media datagram whose packet is in kudo_scratch. `observing`: no other program that sees the
 * packet observes it. */
kudo_noinline int kudo_treat_datagram(struct __sk_buff *skb, __u32 direction, __u32 observing)
{
	struct kudo_cpu *cpu = kudo_this_cpu();

	if (!cpu)
		return KUDO_TREATMENT_VIDEO;
	struct kudo_scratch *scratch = kudo_scratch_of(cpu);
	__u32 offset = scratch->packet.l3_offset + scratch->packet.header_length, begin = offset;
	__u32 length = kudo_datagram_length(&scratch->packet, skb->gso_size);
	__u32 available = length < KUDO_RTP_WINDOW ? length : KUDO_RTP_WINDOW;

	kudo_bound_offset(begin);
	const struct kudo_rtp_head *head = (const void *)((const __u8 *)(long)skb->data + begin);
	if (length < sizeof(*head) || (const __u8 *)(head + 1) > (const __u8 *)(long)skb->data_end ||
	    !kudo_read_rtp_fast(head->words, length, &scratch->rtp)) {
		const struct kudo_rtp_window *window = (const void *)head;

		kudo_opaque(available);
		if (available < KUDO_RTP_HEADER || available > KUDO_RTP_WINDOW)
			return KUDO_TREATMENT_VIDEO;
		if ((const __u8 *)(window + 1) <= (const __u8 *)(long)skb->data_end)
			*(struct kudo_rtp_window *)scratch->payload = *window;
		else if (bpf_skb_load_bytes(skb, offset, scratch->payload, available) != 0)
			return KUDO_TREATMENT_VIDEO;
		kudo_read_payload(available, length);
	}
	return (int)kudo_treat_rtp(scratch, &scratch->packet, &scratch->rtp, direction, observing);
}

/* The same of a frame, for XDP, which marks nothing: what it says of its stream is kept. Of TURN's
 * indications those with less than KUDO_RTP_WINDOW bytes before the RTP header, and not the shortest. */
kudo_noinline int kudo_follow_frame(struct xdp_md *context)
{
	struct kudo_cpu *cpu = kudo_this_cpu();

	if (!cpu)
		return 0;
	struct kudo_scratch *scratch = kudo_scratch_of(cpu);
	__u32 begin = scratch->packet.l3_offset + scratch->packet.header_length;
	__u32 length = kudo_datagram_length(&scratch->packet, 0);

	kudo_bound_offset(begin);
	const struct kudo_rtp_head *head = (const void *)((const __u8 *)(long)context->data + begin);
	if (length < sizeof(*head) || (const __u8 *)(head + 1) > (const __u8 *)(long)context->data_end)
		return 0;
	if (!kudo_read_rtp_fast(head->words, length, &scratch->rtp)) {
		const struct kudo_rtp_indication *payload = (const void *)head;
		if (length < sizeof(*payload) ||
		    (const __u8 *)(payload + 1) > (const __u8 *)(long)context->data_end)
			return 0;
		*(struct kudo_rtp_indication *)scratch->payload = *payload;
		kudo_read_payload(sizeof(*payload), length);
	}
	if (scratch->rtp.content == KUDO_CONTENT_RTP)
		kudo_treat_rtp(scratch, &scratch->packet, &scratch->rtp, KUDO_INGRESS, 1);
	return 0;
}

#endif /* KUDO_RTP_BPF_H */
