/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* Which incoming packets answer this host: only they get the firewall mark, since anybody can send packets that claim to
 * come from a KUDO address and port.
 * Invariant: only packets that this host sends enter anything, so nobody else can fill the tables. */
#ifndef KUDO_OUTGOING_BPF_H
#define KUDO_OUTGOING_BPF_H

#include "flow.bpf.h"

#define KUDO_OUTGOING_REFRESH 1000000000ull /* ns: not every packet writes */

/* The time of the last outgoing packet of the flow, entered as `now` if `now` is not 0. Null: none is known. */
kudo_inline __u64 *kudo_outgoing_of(const struct kudo_packet *packet, __u64 now)
{
	__u64 *fresh = now ? &now : 0;

	if (packet->family == 4) {
		struct kudo_flow4_key key = packet->key4;
		key.interface = 0;
		return kudo_find_or_enter(&kudo_outgoing4, &key, fresh);
	}
	struct kudo_flow6_key key = packet->key6;
	key.interface = 0;
	return kudo_find_or_enter(&kudo_outgoing6, &key, fresh);
}

/* The TCP packet's header; 0: it lies behind IPv6 extension headers, or is not there. */
kudo_inline int kudo_load_tcp(struct __sk_buff *skb, const struct kudo_packet *packet, struct kudo_tcp_header *tcp)
{
	__u32 offset = packet->l3_offset;
	__u8 first = 0;

	if (packet->family == 4) {
		if (bpf_skb_load_bytes(skb, offset, &first, 1) != 0)
			return 0;
		offset += (first & 15) * 4;
	} else {
		if (bpf_skb_load_bytes(skb, offset + 6, &first, 1) != 0 || first != KUDO_PROTOCOL_TCP)
			return 0;
		offset += sizeof(struct kudo_ipv6_header);
	}
	return bpf_skb_load_bytes(skb, offset, tcp, sizeof(*tcp)) == 0;
}

/* SYN without ACK: RFC 9293 section 3.1. */
kudo_inline int kudo_opens(const struct kudo_tcp_header *tcp)
{
	return (tcp->flags & (KUDO_TCP_SYN | KUDO_TCP_ACK)) == KUDO_TCP_SYN;
}

/* Might this TCP packet open a connection? Also one whose flags lie behind IPv6 extension headers. */
kudo_inline int kudo_may_open(struct __sk_buff *skb, const struct kudo_packet *packet)
{
	struct kudo_tcp_header tcp;

	return !kudo_load_tcp(skb, packet, &tcp) || kudo_opens(&tcp);
}

/* Notes that this host sends the packet in kudo_scratch. */
kudo_noinline int kudo_speak(void)
{
	struct kudo_cpu *cpu = kudo_this_cpu();

	if (!cpu)
		return 0;
	__u64 now = bpf_ktime_get_ns(), *last = kudo_outgoing_of(&kudo_scratch_of(cpu)->packet, now);

	if (last && (__s64)(now - *last) > (__s64)KUDO_OUTGOING_REFRESH)
		*last = now;
	return 0;
}

/* Outgoing: notes the packet in kudo_scratch. Incoming: 1 if it answers one that was noted. */
kudo_noinline int kudo_follow_outgoing(struct __sk_buff *skb, __u32 direction)
{
	struct kudo_cpu *cpu = kudo_this_cpu();

	if (!cpu)
		return 0;
	const struct kudo_packet *packet = &kudo_scratch_of(cpu)->packet;

	if (packet->non_first_fragment)
		return 0;
	if (direction == KUDO_EGRESS)
		return kudo_speak();
	const __u64 *last = kudo_outgoing_of(packet, 0);
	if (!last)
		return 0;
	__s64 age = (__s64)(bpf_ktime_get_ns() - *last); /* negative where another CPU has just sent */
	__u8 protocol = kudo_protocol_of(packet);
	if (protocol != KUDO_PROTOCOL_TCP)
		return age < (__s64)KUDO_ANSWERS_UDP;
	return age < (__s64)KUDO_ANSWERS_TCP && !kudo_may_open(skb, packet);
}

#endif /* KUDO_OUTGOING_BPF_H */
