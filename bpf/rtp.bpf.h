/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* How a media packet is treated: finds its RTP stream, adds the packet to what is known of it, tells audio from
 * video. Invariant: nothing here decides over pass or drop, and no packet is changed. */
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

/* Enum kudo_treatment of the media datagram in hand, whose packet is in kudo_work. */
kudo_apart int kudo_treat_datagram(struct __sk_buff *skb, __u32 direction)
{
	struct kudo_cpu *cpu = kudo_this_cpu();

	if (!cpu)
		return KUDO_TREATMENT_VIDEO;
	struct kudo_work *work = kudo_work_of(cpu);
	const struct kudo_packet *packet = &work->packet;
	__u32 offset = packet->l3_offset + packet->header_length;
	__u32 end = packet->l3_offset + packet->l3_length;
	struct kudo_rtp_packet rtp = {};

	if (packet->header_length == 0 || offset >= end)
		return KUDO_TREATMENT_VIDEO;
	/* Of a super-packet this is the first of its datagrams: the others are of the same stream, or nearly always. */
	__u32 length = end - offset;
	if (skb->gso_size != 0 && length > skb->gso_size)
		length = skb->gso_size;
	__u32 seen = length < KUDO_RTP_WINDOW ? length : KUDO_RTP_WINDOW;
	kudo_opaque(seen);
	if (seen < KUDO_RTP_HEADER || seen > KUDO_RTP_WINDOW)
		return KUDO_TREATMENT_VIDEO;
	__u32 begin = offset;
	kudo_forget_offset(begin);
	/* Copied even where it could be read in place: the verifier knows no more of a packet behind a variable offset.
	 */
	const struct kudo_rtp_window *payload = (const void *)((const __u8 *)(long)skb->data + begin);
	if ((const __u8 *)(payload + 1) <= (const __u8 *)(long)skb->data_end)
		*(struct kudo_rtp_window *)work->payload = *payload;
	else if (bpf_skb_load_bytes(skb, offset, work->payload, seen) != 0)
		return KUDO_TREATMENT_VIDEO;
	kudo_read_rtp(work->payload, seen, length, &rtp);

	struct kudo_rtp_stream *stream = 0;
	if (rtp.content == KUDO_CONTENT_RTP || rtp.content == KUDO_CONTENT_RTCP)
		stream = kudo_find_stream(packet, rtp.ssrc, direction, rtp.content == KUDO_CONTENT_RTP);
	if (stream && rtp.content == KUDO_CONTENT_RTP)
		kudo_observe_rtp(stream, &rtp);
	return (int)kudo_media_treatment(rtp.content, stream);
}

#endif /* KUDO_RTP_BPF_H */
