/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* How a media packet is treated: finds its RTP stream, adds the packet to what is known of it, tells audio from video. Of
 * the programs that see a packet the one that counts it observes it.
 * Invariant: nothing here decides over pass or drop, and no packet is changed. */
#ifndef KUDO_RTP_BPF_H
#define KUDO_RTP_BPF_H

#include "flow.bpf.h"
#include "rtp.h"

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

/* Two words of 4 bytes that follow one another. */
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define kudo_word_pair(first, second) ((__u64)(first) | (__u64)(second) << 32)
#else
#define kudo_word_pair(first, second) ((__u64)(first) << 32 | (__u64)(second))
#endif

/* A key of the current packet's flow: `from`, and the SSRC at once with the word before it, as both are soon read at once.
 * `videos`: 1 for the entry of the flow's videos. */
#define kudo_put_stream_key(key, from, ssrc_, videos)                                                                  \
	do {                                                                                                           \
		__u32 word_;                                                                                           \
		(key)->flow = *(from);                                                                                 \
		(key)->flow.pad[0] = (videos);                                                                         \
		__builtin_memcpy(&word_, &(key)->flow.protocol, sizeof(word_));                                        \
		__u64 pair_ = kudo_word_pair(word_, ssrc_);                                                            \
		__builtin_memcpy((__u8 *)(key) + __builtin_offsetof(__typeof__(*(key)), flow.protocol), &pair_,        \
				 sizeof(pair_));                                                                       \
	} while (0)

/* The entry of the packet's flow for this SSRC, or for its videos. */
kudo_inline void *kudo_find_stream(const struct kudo_packet *packet, __u32 ssrc, __u32 direction, __u8 videos)
{
	if (packet->family == 4) {
		struct kudo_rtp4_key key;

		kudo_put_stream_key(&key, &packet->key4, ssrc, videos);
		if (direction == KUDO_INGRESS)
			return bpf_map_lookup_elem(&kudo_rtp4_in, &key);
		return bpf_map_lookup_elem(&kudo_rtp4, &key);
	}
	struct kudo_rtp6_key key;

	kudo_put_stream_key(&key, &packet->key6, ssrc, videos);
	if (direction == KUDO_INGRESS)
		return bpf_map_lookup_elem(&kudo_rtp6_in, &key);
	return bpf_map_lookup_elem(&kudo_rtp6, &key);
}

/* Makes that entry of the current packet's flow, with what the packet says: of its stream, or of the flow's videos. */
kudo_noinline int kudo_enter_stream(__u32 direction, __u32 videos)
{
	struct kudo_cpu *cpu = kudo_this_cpu();
	union {
		struct kudo_rtp_stream stream;
		struct kudo_rtp_videos videos;
	} first = {};

	if (!cpu)
		return 0;
	const struct kudo_packet *packet = &kudo_scratch_of(cpu)->packet;
	__u32 ssrc = kudo_scratch_of(cpu)->rtp.ssrc;

	if (videos) {
		first.videos.ssrcs[0] = ssrc;
		first.videos.next = 1;
		ssrc = 0;
		videos = 1;
	} else {
		kudo_begin_rtp(&first.stream, &kudo_scratch_of(cpu)->rtp);
		first.stream.last_seen = bpf_jiffies64();
	}
	if (packet->family == 4) {
		struct kudo_rtp4_key key;

		kudo_put_stream_key(&key, &packet->key4, ssrc, (__u8)videos);
		if (direction == KUDO_INGRESS)
			return (int)bpf_map_update_elem(&kudo_rtp4_in, &key, &first, BPF_NOEXIST);
		return (int)bpf_map_update_elem(&kudo_rtp4, &key, &first, BPF_NOEXIST);
	}
	struct kudo_rtp6_key key;

	kudo_put_stream_key(&key, &packet->key6, ssrc, (__u8)videos);
	if (direction == KUDO_INGRESS)
		return (int)bpf_map_update_elem(&kudo_rtp6_in, &key, &first, BPF_NOEXIST);
	return (int)bpf_map_update_elem(&kudo_rtp6, &key, &first, BPF_NOEXIST);
}

/* Notes that the current packet's SSRC is video. 1: there is no entry for it yet; kudo_enter_stream() from here would be one
 * frame too deep for the stack. */
kudo_noinline int kudo_note_video(__u32 direction)
{
	struct kudo_cpu *cpu = kudo_this_cpu();

	if (!cpu)
		return 0;
	struct kudo_rtp_videos *videos = kudo_find_stream(&kudo_scratch_of(cpu)->packet, 0, direction, 1);
	if (!videos)
		return 1;
	videos->ssrcs[videos->next++ & (KUDO_RTP_MAX_VIDEOS - 1)] = kudo_scratch_of(cpu)->rtp.ssrc;
	return 0;
}

/* Does the current packet repeat the timestamps of the video with this SSRC? */
kudo_noinline int kudo_repeats_ssrc(__u32 ssrc, __u32 direction)
{
	struct kudo_cpu *cpu = kudo_this_cpu();

	if (!cpu)
		return 0;
	const struct kudo_scratch *scratch = kudo_scratch_of(cpu);
	const struct kudo_rtp_stream *video = kudo_find_stream(&scratch->packet, ssrc, direction, 0);

	return video && kudo_rtp_repeats(&scratch->rtp, video);
}

/* Does it repeat those of any video of its flow? */
kudo_noinline int kudo_repeats_video(__u32 direction)
{
	struct kudo_cpu *cpu = kudo_this_cpu();

	if (!cpu)
		return 0;
	const struct kudo_rtp_videos *videos =
		kudo_find_stream(&kudo_scratch_of(cpu)->packet, 0, direction, 1);

	if (!videos)
		return 0;
	for (int i = 0; i < KUDO_RTP_MAX_VIDEOS; i++)
		if (kudo_repeats_ssrc(videos->ssrcs[i], direction))
			return 1;
	return 0;
}

/* Enum kudo_treatment of a datagram of the current packet's flow. `observing`: what it says of its stream is kept. */
kudo_inline __u32 kudo_treat_rtp(const struct kudo_packet *packet, const struct kudo_rtp_packet *rtp, __u32 direction,
				 __u32 observing)
{
	struct kudo_rtp_stream *stream = 0;

	if (rtp->content == KUDO_CONTENT_RTP || rtp->content == KUDO_CONTENT_RTCP)
		stream = kudo_find_stream(packet, rtp->ssrc, direction, 0);
	if (observing && rtp->content == KUDO_CONTENT_RTP) {
		if (!stream) {
			kudo_enter_stream(direction, 0);
			return KUDO_TREATMENT_VIDEO;
		}
		__u8 kind = stream->kind;
		int fits = kudo_observe_rtp(stream, rtp);

		stream->last_seen = bpf_jiffies64();
		if (stream->kind != kind) {
			if (stream->kind == KUDO_RTP_AUDIO && kudo_rtp_may_repeat(stream) &&
			    kudo_repeats_video(direction))
				kudo_rtp_call_repeated(stream);
			else if (stream->kind == KUDO_RTP_VIDEO && kudo_note_video(direction))
				kudo_enter_stream(direction, 1);
		}
		if (!fits)
			return KUDO_TREATMENT_VIDEO;
	}
	return kudo_media_treatment(rtp->content, stream);
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
	return (int)kudo_treat_rtp(&scratch->packet, &scratch->rtp, direction, observing);
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
		kudo_treat_rtp(&scratch->packet, &scratch->rtp, KUDO_INGRESS, 1);
	return 0;
}

#endif /* KUDO_RTP_BPF_H */
