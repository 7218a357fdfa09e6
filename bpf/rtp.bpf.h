/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* How a media packet is treated: finds its RTP stream, adds the packet to what is known of it, tells audio from video.
 * Invariant: nothing here decides over pass or drop, and no packet is changed. */
#ifndef KUDO_RTP_BPF_H
#define KUDO_RTP_BPF_H

#include "flow.bpf.h"
#include "rtp.h"

struct kudo_rtp_window {
	__u32 words[KUDO_RTP_WINDOW / 4];
} KUDO_WIRE(4);

kudo_inline struct kudo_rtp_stream *kudo_find_stream(const struct kudo_packet *packet, __u32 ssrc, __u32 direction,
						     int enter)
{
	struct kudo_rtp_stream none = {}, *fresh = enter ? &none : 0;

	if (packet->family == 4) {
		struct kudo_rtp4_key key = {.flow = packet->key4, .ssrc = ssrc, .direction = direction};
		return kudo_find_or_enter(&kudo_rtp4, &key, fresh);
	}
	struct kudo_rtp6_key key = {.flow = packet->key6, .ssrc = ssrc, .direction = direction};
	return kudo_find_or_enter(&kudo_rtp6, &key, fresh);
}

/* Enum kudo_treatment of the media datagram whose packet is in kudo_scratch. */
kudo_noinline int kudo_treat_datagram(struct __sk_buff *skb, __u32 direction)
{
	struct kudo_cpu *cpu = kudo_this_cpu();

	if (!cpu)
		return KUDO_TREATMENT_VIDEO;
	struct kudo_scratch *scratch = kudo_scratch_of(cpu);
	const struct kudo_packet *packet = &scratch->packet;
	__u32 offset = packet->l3_offset + packet->header_length;
	__u32 end = packet->l3_offset + packet->l3_length;
	struct kudo_rtp_packet rtp = {};

	if (packet->header_length == 0 || offset >= end)
		return KUDO_TREATMENT_VIDEO;
	/* Of a GSO packet this is the first of its datagrams: the others are of the same stream, or nearly always. */
	__u32 length = end - offset;
	if (skb->gso_size != 0 && length > skb->gso_size)
		length = skb->gso_size;
	__u32 available = length < KUDO_RTP_WINDOW ? length : KUDO_RTP_WINDOW;
	kudo_opaque(available);
	if (available < KUDO_RTP_HEADER || available > KUDO_RTP_WINDOW)
		return KUDO_TREATMENT_VIDEO;
	__u32 begin = offset;
	kudo_bound_offset(begin);
	/* Copied even where it could be read in place: the verifier knows no more of a packet behind a variable offset.
	 */
	const struct kudo_rtp_window *payload = (const void *)((const __u8 *)(long)skb->data + begin);
	if ((const __u8 *)(payload + 1) <= (const __u8 *)(long)skb->data_end)
		*(struct kudo_rtp_window *)scratch->payload = *payload;
	else if (bpf_skb_load_bytes(skb, offset, scratch->payload, available) != 0)
		return KUDO_TREATMENT_VIDEO;
	kudo_read_rtp(scratch->payload, available, length, &rtp);

	struct kudo_rtp_stream *stream = 0;
	if (rtp.content == KUDO_CONTENT_RTP || rtp.content == KUDO_CONTENT_RTCP)
		stream = kudo_find_stream(packet, rtp.ssrc, direction, rtp.content == KUDO_CONTENT_RTP);
	if (stream && rtp.content == KUDO_CONTENT_RTP)
		kudo_observe_rtp(stream, &rtp);
	return (int)kudo_media_treatment(rtp.content, stream);
}

#endif /* KUDO_RTP_BPF_H */
