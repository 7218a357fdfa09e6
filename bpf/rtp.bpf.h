/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* How a media packet is treated: finds its RTP stream, adds the packet to what is known of it, tells audio from video. Of
 * the programs that see a packet the one that counts it observes it.
 * Invariant: nothing here decides over pass or drop, and no packet is changed. */
#ifndef KUDO_RTP_BPF_H
#define KUDO_RTP_BPF_H

#include "rtp_streams.bpf.h"
#include "stun_probe.bpf.h"

/* All of an RTP header, bare or in ChannelData. */
struct kudo_rtp_head {
	__u32 words[4];
} KUDO_WIRE(4);
/* As much as is looked at. */
struct kudo_rtp_window {
	__u32 words[KUDO_RTP_WINDOW / 4];
} KUDO_WIRE(4);
struct kudo_rtp_word {
	__u32 word;
} KUDO_WIRE(4);

/* Enum kudo_treatment of a datagram of this packet's flow. `observing`: what it says of its stream is kept. */
kudo_inline __u32 kudo_treat_rtp(struct kudo_scratch *scratch, const struct kudo_packet *packet,
				 const struct kudo_rtp_packet *rtp, __u32 direction, __u32 observing)
{
	struct kudo_rtp_stream *stream = 0;

	if (rtp->content == KUDO_CONTENT_RTP || rtp->content == KUDO_CONTENT_RTCP)
		stream = kudo_find_stream(scratch, packet, rtp->ssrc, direction);
	if (observing && rtp->content == KUDO_CONTENT_RTP) {
		if (stream && kudo_note_quality(scratch->row, rtp->sequence, rtp->padding, rtp->timestamp) &&
		    direction == KUDO_INGRESS) {
			kudo_put_packet(&scratch->packet, packet);
			kudo_note_inbound();
		}
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
 * as nearly all media does. KUDO_TREATMENTS: kudo_treat_datagrams() must look at it. */
kudo_inline __u32 kudo_treat_plain(struct kudo_scratch *scratch, const void *data, const void *end,
				   const struct kudo_frame *frame, const struct kudo_packet *packet, __u32 observing)
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
	if (frame->is_gso || length < sizeof(*head) || (const void *)(head + 1) > end || !kudo_read_rtp_fast(head->words, length, &rtp))
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

/* Where the `index`th datagram of the current packet begins, from the beginning of the frame; but for GSO packets there is but
 * one. */
kudo_inline __u32 kudo_datagram_offset(const struct kudo_packet *packet, __u32 segment_size, __u32 index)
{
	return packet->l3_offset + packet->header_length + index * segment_size;
}

/* How long the datagram there is. 0: there is none. */
kudo_inline __u32 kudo_datagram_length(const struct kudo_packet *packet, __u32 segment_size, __u32 offset)
{
	__u32 end = packet->l3_offset + packet->l3_length;

	if (packet->header_length == 0 || offset >= end)
		return 0;
	return segment_size != 0 && end - offset > segment_size ? segment_size : end - offset;
}

/* Enum kudo_treatment of the media datagram whose packet is in kudo_scratch. `observing`: no other program that sees the
 * packet observes it. `index`: which datagram of a GSO packet. */
kudo_noinline int kudo_treat_datagram(struct __sk_buff *skb, __u32 direction, __u32 observing, __u32 index)
{
	struct kudo_cpu *cpu = kudo_this_cpu();

	if (!cpu)
		return KUDO_TREATMENT_VIDEO;
	struct kudo_scratch *scratch = kudo_scratch_of(cpu);
	__u32 offset = kudo_datagram_offset(&scratch->packet, skb->gso_size, index), begin = offset;
	__u32 length = kudo_datagram_length(&scratch->packet, skb->gso_size, offset);
	__u32 available = length < KUDO_RTP_WINDOW ? length : KUDO_RTP_WINDOW;

	kudo_bound_offset(begin);
	const struct kudo_rtp_head *head = (const void *)((const __u8 *)(long)skb->data + begin);
	if (length < sizeof(*head) || begin != offset || (const __u8 *)(head + 1) > (const __u8 *)(long)skb->data_end ||
	    !kudo_read_rtp_fast(head->words, length, &scratch->rtp)) {
		const struct kudo_rtp_window *window = (const void *)head;

		kudo_opaque(available);
		if (available < KUDO_RTP_HEADER || available > KUDO_RTP_WINDOW)
			return KUDO_TREATMENT_VIDEO;
		if (begin == offset && (const __u8 *)(window + 1) <= (const __u8 *)(long)skb->data_end)
			*(struct kudo_rtp_window *)scratch->payload = *window;
		else if (bpf_skb_load_bytes(skb, offset, scratch->payload, available) != 0)
			return KUDO_TREATMENT_VIDEO;
		kudo_read_payload(available, length);
		if (observing && scratch->rtp.content == KUDO_CONTENT_STUN && skb->mark != KUDO_PROBE_MARK)
			kudo_note_probe(direction, available, length);
	}
	return (int)kudo_treat_rtp(scratch, &scratch->packet, &scratch->rtp, direction, observing);
}

/* The datagrams of a GSO packet behind its first, which says how all of it is treated. */
#define KUDO_MAX_SEGMENTS 128 /* linux/udp.h, UDP_MAX_SEGMENTS; 64 before 6.9 */
kudo_noinline int kudo_observe_segments(struct __sk_buff *skb, __u32 direction)
{
	struct kudo_cpu *cpu = kudo_this_cpu();

	if (!cpu)
		return 0;
	const struct kudo_packet *packet = &kudo_scratch_of(cpu)->packet;
	__u32 segment_size = skb->gso_size, end = packet->l3_offset + packet->l3_length;

	for (__u32 i = 1; i < KUDO_MAX_SEGMENTS; i++) {
		if (kudo_datagram_offset(packet, segment_size, i) >= end)
			break;
		kudo_treat_datagram(skb, direction, 1, i);
	}
	return 0;
}

/* All datagrams of a packet; the treatment is the first one's. */
kudo_inline __u32 kudo_treat_datagrams(struct __sk_buff *skb, __u32 direction, __u32 observing)
{
	__u32 treatment = (__u32)kudo_treat_datagram(skb, direction, observing, 0);

	if (observing && skb->gso_size != 0)
		kudo_observe_segments(skb, direction);
	return treatment;
}

/* Copies the beginning of a frame's payload, as much as its first buffer holds of what is looked at, into kudo_scratch: how
 * many bytes. By words, since before 5.18 no helper copies what has no constant length. */
kudo_noinline int kudo_copy_payload(struct xdp_md *context)
{
	struct kudo_cpu *cpu = kudo_this_cpu();

	if (!cpu)
		return 0;
	struct kudo_scratch *scratch = kudo_scratch_of(cpu);
	__u32 begin = scratch->packet.l3_offset + scratch->packet.header_length, i = 0;

	kudo_bound_offset(begin);
	for (; i < KUDO_RTP_WINDOW / 4; i++) {
		const struct kudo_rtp_word *word =
			(const struct kudo_rtp_word *)((const __u8 *)(long)context->data + begin) + i;
		if ((const __u8 *)(word + 1) > (const __u8 *)(long)context->data_end)
			break;
		((struct kudo_rtp_word *)scratch->payload)[i] = *word;
	}
	return (int)i * 4;
}

/* The same of a frame, for XDP, which marks nothing: what it says of its stream is kept. */
kudo_noinline int kudo_follow_frame(struct xdp_md *context)
{
	struct kudo_cpu *cpu = kudo_this_cpu();

	if (!cpu)
		return 0;
	struct kudo_scratch *scratch = kudo_scratch_of(cpu);
	__u32 begin = scratch->packet.l3_offset + scratch->packet.header_length;
	__u32 length = kudo_datagram_length(&scratch->packet, 0, begin);

	kudo_bound_offset(begin);
	const struct kudo_rtp_head *head = (const void *)((const __u8 *)(long)context->data + begin);
	if (length < KUDO_RTP_HEADER)
		return 0;
	if (length < sizeof(*head) || (const __u8 *)(head + 1) > (const __u8 *)(long)context->data_end ||
	    !kudo_read_rtp_fast(head->words, length, &scratch->rtp)) {
		const struct kudo_rtp_window *window = (const void *)head;
		__u32 available = KUDO_RTP_WINDOW;

		if ((const __u8 *)(window + 1) <= (const __u8 *)(long)context->data_end)
			*(struct kudo_rtp_window *)scratch->payload = *window;
		else
			available = (__u32)kudo_copy_payload(context);
		if (available > length)
			available = length;
		kudo_read_payload(available, length);
		if (scratch->rtp.content == KUDO_CONTENT_STUN)
			kudo_note_probe(KUDO_INGRESS, available, length);
	}
	if (scratch->rtp.content == KUDO_CONTENT_RTP)
		kudo_treat_rtp(scratch, &scratch->packet, &scratch->rtp, KUDO_INGRESS, 1);
	return 0;
}

#endif /* KUDO_RTP_BPF_H */
