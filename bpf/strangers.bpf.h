/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* Which packets of strangers are inspected, for the drift of the range map and for names: STUN (stun.bpf.h), DNS (dns.bpf.h)
 * and TLS (tls.bpf.h), told by the remote's port. Each step is a function of its own, so that nothing else is slower for it.
 * Invariant: nothing here decides over pass or drop, and no packet is changed. */
#ifndef KUDO_STRANGERS_BPF_H
#define KUDO_STRANGERS_BPF_H

#include "dns.bpf.h"
#include "stun.bpf.h"
#include "tls.bpf.h"

/* The headers of both: a DNS response with records is longer than its own. */
struct kudo_stranger_window {
	__u32 words[KUDO_STUN_HEADER / 4];
} KUDO_WIRE(4);
KUDO_ASSERT(KUDO_DNS_HEADER <= sizeof(struct kudo_stranger_window), "window");

/* Could an incoming packet of a stranger, of which kudo_parse_fast_head() gave the port, be one to inspect? */
kudo_inline int kudo_is_watched_in(__u32 remote_port)
{
	if (remote_port == kudo_swap16(KUDO_STUN_PORT))
		return 1;
	return remote_port == kudo_swap16(KUDO_DNS_PORT) && kudo_awaits_response();
}

/* And an outgoing one? Without a branch for each port, which a verifier would follow. */
kudo_inline int kudo_is_watched_out(struct __sk_buff *skb, __u32 remote_port, __u32 generation,
				    const struct kudo_packet *packet)
{
	__u32 is_tcp = remote_port >> 16 & 1, port = kudo_swap16((__u16)remote_port);
	__u32 watched = (kudo_equal(port, KUDO_STUN_PORT) | kudo_equal(port, KUDO_DNS_PORT)) & (is_tcp ^ 1);

	/* Most of a client's packets there have nothing but an acknowledgement. */
	if (kudo_is_named_port(is_tcp, port) &&
	    (packet->header_length < packet->l3_length || (remote_port & KUDO_FAST_SYN)))
		watched = (__u32)kudo_may_show_name(skb, packet->l3_offset + packet->header_length,
						    packet->l3_offset + packet->l3_length,
						    port | (remote_port & (KUDO_FAST_TCP | KUDO_FAST_SYN)), generation);
	kudo_opaque(watched);
	return (int)watched;
}

/* What a packet with no range of the map is. */
#define KUDO_WATCHED_REASONS                                                                                           \
	(1u << KUDO_REASON_STRANGER | 1u << KUDO_REASON_ALLOWED | 1u << KUDO_REASON_LIFELINE | 1u << KUDO_REASON_NAME)

/* Is this judged packet one? */
kudo_inline int kudo_is_watched(struct kudo_judgement judgement, const struct kudo_packet *packet)
{
	__u8 protocol = kudo_protocol_of(packet);
	__u16 port = kudo_remote_port_of(packet);

	return ((1u << (judgement.reason & (KUDO_MAX_REASONS - 1))) & KUDO_WATCHED_REASONS) != 0 &&
	       protocol == KUDO_PROTOCOL_UDP &&
	       (port == KUDO_STUN_PORT || port == KUDO_DNS_PORT);
}

/* The same of an outgoing packet of a connection. */
kudo_inline int kudo_is_unnamed(struct kudo_judgement judgement, const struct kudo_packet *packet)
{
	__u8 protocol = kudo_protocol_of(packet);

	return judgement.reason == KUDO_REASON_STRANGER &&
	       kudo_is_named_port(protocol == KUDO_PROTOCOL_TCP, kudo_remote_port_of(packet));
}

/* Where the datagram's payload begins and, of a GSO packet's first datagram, how long it is; 0: it has less than the
 * header of what is looked for. */
kudo_inline __u32 kudo_stranger_payload(const struct kudo_packet *packet, __u32 segment_size, __u32 *length)
{
	__u32 offset = packet->l3_offset + packet->header_length;
	__u32 end = packet->l3_offset + packet->l3_length;
	__u32 least = kudo_remote_port_of(packet) == KUDO_STUN_PORT ? KUDO_STUN_HEADER : KUDO_DNS_HEADER;

	if (packet->header_length == 0 || offset + least > end)
		return 0;
	*length = end - offset;
	if (segment_size != 0 && *length > segment_size)
		*length = segment_size;
	return offset;
}

/* Inspects the datagram that came in and whose packet is in kudo_scratch. 1: kudo_learn_response() has work. */
kudo_noinline int kudo_note_frame(struct xdp_md *context)
{
	struct kudo_cpu *cpu = kudo_this_cpu();
	__u32 length = 0;

	if (!cpu)
		return 0;
	struct kudo_scratch *scratch = kudo_scratch_of(cpu);
	__u32 offset = kudo_stranger_payload(&scratch->packet, 0, &length);
	if (offset == 0)
		return 0;
	__u32 begin = offset;

	kudo_bound_offset(begin);
	const struct kudo_stranger_window *payload = (const void *)((const __u8 *)(long)context->data + begin);

	if ((const __u8 *)(payload + 1) <= (const __u8 *)(long)context->data_end)
		*(struct kudo_stranger_window *)scratch->payload = *payload;
	else if (!kudo_xdp_frags ||
		 bpf_xdp_load_bytes(context, offset, scratch->payload, sizeof(struct kudo_stranger_window)) != 0)
		return 0;
	if (kudo_remote_port_of(&scratch->packet) == KUDO_DNS_PORT)
		return kudo_keep_frame_response(context, offset, length);
	return kudo_note_stun(KUDO_INGRESS, length);
}

/* Likewise, `available` bytes of a datagram that is `length` long. */
kudo_inline int kudo_load_stranger(struct __sk_buff *skb, struct kudo_scratch *scratch, __u32 offset, __u32 available)
{
	kudo_opaque(available);
	if (available < KUDO_DNS_HEADER)
		return 0;
	kudo_opaque(available); /* or compilers make one comparison of both, of which the verifier learns nothing */
	if (available > KUDO_DNS_WINDOW)
		return 0;
	return bpf_skb_load_bytes(skb, offset, scratch->payload, available) == 0;
}

/* 1: kudo_learn_response() has work. */
kudo_noinline int kudo_note_incoming(struct __sk_buff *skb)
{
	struct kudo_cpu *cpu = kudo_this_cpu();
	__u32 length = 0;

	if (!cpu)
		return 0;
	struct kudo_scratch *scratch = kudo_scratch_of(cpu);
	__u32 offset = kudo_stranger_payload(&scratch->packet, skb->gso_size, &length);

	if (offset == 0 || !kudo_load_stranger(skb, scratch, offset, sizeof(struct kudo_stranger_window)))
		return 0;
	if (kudo_remote_port_of(&scratch->packet) == KUDO_DNS_PORT)
		return kudo_keep_skb_response(skb, offset, length);
	return kudo_note_stun(KUDO_INGRESS, length);
}

/* `generation`: that the packet was judged by. */
kudo_noinline int kudo_note_outgoing(struct __sk_buff *skb, __u32 generation)
{
	struct kudo_cpu *cpu = kudo_this_cpu();
	__u32 length = 0;

	if (!cpu)
		return 0;
	struct kudo_scratch *scratch = kudo_scratch_of(cpu);
	__u32 offset = kudo_stranger_payload(&scratch->packet, skb->gso_size, &length);
	int dns = kudo_remote_port_of(&scratch->packet) == KUDO_DNS_PORT;
	__u32 available = dns ? (length < KUDO_DNS_WINDOW ? length : KUDO_DNS_WINDOW) : sizeof(struct kudo_stranger_window);

	if (offset == 0 || !kudo_load_stranger(skb, scratch, offset, available))
		return 0;
	return dns ? kudo_note_query(available, generation) : kudo_note_stun(KUDO_EGRESS, length);
}

#endif /* KUDO_STRANGERS_BPF_H */
