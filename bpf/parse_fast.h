/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* The parser's fast path for plain packets: Ethernet or a bare IP interface, no tags, no options, no fragments, TCP or
 * UDP. No helpers, no maps, no clock.
 * Invariant: what it takes it parses as kudo_parse(), the slow path, does; everything else it leaves to that. */
#ifndef KUDO_PARSE_FAST_H
#define KUDO_PARSE_FAST_H

#include "parse.h"

/* The last two words of a flow key's ports and protocol, each stored at once: they are soon read as words, and a load
 * that spans several stores waits for all of them. */
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define kudo_port_word(remote, local) ((__u32)(remote) | (__u32)(local) << 16)
#define kudo_byte_word(byte) ((__u32)(byte))
#else
#define kudo_port_word(remote, local) ((__u32)(remote) << 16 | (__u32)(local))
#define kudo_byte_word(byte) ((__u32)(byte) << 24)
#endif
#define kudo_put_ports(key, remote, local, protocol_)                                                                  \
	do {                                                                                                           \
		__u32 both_ = kudo_port_word(remote, local), rest_ = kudo_byte_word(protocol_);                        \
		__builtin_memcpy((__u8 *)(key) + __builtin_offsetof(__typeof__(*(key)), remote_port), &both_, 4);      \
		__builtin_memcpy((__u8 *)(key) + __builtin_offsetof(__typeof__(*(key)), protocol), &rest_, 4);         \
	} while (0)

/* Where the IP header of such a packet is: a constant, which the verifier knows. */
kudo_inline __u32 kudo_fast_offset(const struct kudo_frame *frame)
{
	return frame->link == KUDO_LINK_NONE ? 0 : sizeof(struct kudo_ethernet_header);
}

/* The shape that nearly all packets have, in one step: no tags, options, extension headers or later fragment, and all
 * headers linear. 1: kudo_parse() would return 0; `packet` is what it gives but for the flow's key, of which it has the
 * remote address, enough for the prefilter; `remote_port` is as on the wire, with KUDO_FAST_TCP if it is TCP's, and
 * KUDO_FAST_SYN of outgoing ones that open a connection. 0: only kudo_parse() can tell. */
#define KUDO_FAST_TCP 0x10000u
#define KUDO_FAST_SYN 0x20000u
kudo_inline __u32 kudo_fast_port(const struct kudo_tcp_header *tcp, int ingress)
{
	if (ingress)
		return KUDO_FAST_TCP | tcp->source;
	return KUDO_FAST_TCP | kudo_equal(tcp->flags & (KUDO_TCP_SYN | KUDO_TCP_ACK), KUDO_TCP_SYN) << 17 | tcp->destination;
}
KUDO_ASSERT(KUDO_FAST_SYN == 1 << 17, "SYN");
kudo_inline int kudo_parse_fast_head(const void *data_start, const void *data_end, const struct kudo_frame *frame,
				       struct kudo_packet *packet, __u32 *remote_port)
{
	const __u8 *data = (const __u8 *)data_start, *end = (const __u8 *)data_end;
	__u32 offset = kudo_fast_offset(frame);
	const __u8 *network = data + offset;
	int ingress = frame->direction == KUDO_INGRESS;

	if (network + sizeof(struct kudo_ipv6_header) > end) /* as long as IPv4 and TCP together */
		return 0;
	__be16 type = frame->link == KUDO_LINK_NONE ? 0 : ((const struct kudo_ethernet_header *)data)->type;
	const struct kudo_ipv4_header *ip4 = (const struct kudo_ipv4_header *)network;
	const struct kudo_ipv6_header *ip6 = (const struct kudo_ipv6_header *)network;

	packet->non_first_fragment = 0;
	kudo_clear_flags(packet);
	packet->l3_offset = (__u16)offset;
	*remote_port = 0;
	if (ip4->version_and_ihl == 0x45 &&
	    (frame->link == KUDO_LINK_NONE || type == kudo_swap16(KUDO_ETHERTYPE_IPV4))) {
		const struct kudo_tcp_header *tcp = (const struct kudo_tcp_header *)(ip4 + 1);
		const struct kudo_udp_header *udp = (const struct kudo_udp_header *)(ip4 + 1);
		__u32 length = kudo_swap16(ip4->total_length), size;

		if (ip4->protocol == KUDO_PROTOCOL_TCP) {
			size = (__u32)(tcp->data_offset >> 4) * 4;
			*remote_port = kudo_fast_port(tcp, ingress);
		} else if (ip4->protocol == KUDO_PROTOCOL_UDP) {
			size = sizeof(*udp);
			*remote_port = ingress ? udp->source : udp->destination;
		} else {
			return 0;
		}
		if ((ip4->fragment & kudo_swap16(KUDO_IPV4_FRAGMENT_OFFSET)) ||
		    (ip4->protocol == KUDO_PROTOCOL_TCP && size < sizeof(*tcp)) || sizeof(*ip4) + size > length ||
		    offset + length > frame->wire_length)
			return 0;
		packet->family = 4;
		packet->dsfield = ip4->dsfield;
		packet->header_length = (__u16)(sizeof(*ip4) + size);
		packet->l3_length = length;
		packet->key4.remote = ingress ? ip4->source : ip4->destination;
		return 1;
	}
	if (network[0] >> 4 == 6 && (frame->link == KUDO_LINK_NONE || type == kudo_swap16(KUDO_ETHERTYPE_IPV6))) {
		const struct kudo_tcp_header *tcp = (const struct kudo_tcp_header *)(ip6 + 1);
		const struct kudo_udp_header *udp = (const struct kudo_udp_header *)(ip6 + 1);
		__u32 length = sizeof(*ip6) + kudo_swap16(ip6->payload_length), size;

		if (ip6->next_header == KUDO_PROTOCOL_TCP) {
			if ((const __u8 *)(tcp + 1) > end)
				return 0;
			size = (__u32)(tcp->data_offset >> 4) * 4;
			if (size < sizeof(*tcp))
				return 0;
			*remote_port = kudo_fast_port(tcp, ingress);
		} else if (ip6->next_header == KUDO_PROTOCOL_UDP) {
			if ((const __u8 *)(udp + 1) > end)
				return 0;
			size = sizeof(*udp);
			*remote_port = ingress ? udp->source : udp->destination;
		} else {
			return 0;
		}
		if (sizeof(*ip6) + size > length || offset + length > frame->wire_length)
			return 0;
		packet->family = 6;
		packet->dsfield = (__u8)(kudo_swap32(ip6->version_class_flow) >> 20);
		packet->header_length = (__u16)(sizeof(*ip6) + size);
		packet->l3_length = length;
		__builtin_memcpy(packet->key6.remote, ingress ? ip6->source : ip6->destination, 16);
		return 1;
	}
	return 0;
}

/* The rest of the key of a packet that has just gone through kudo_parse_fast_head(). */
kudo_inline void kudo_parse_fast_key(const void *data_start, const void *data_end, const struct kudo_frame *frame,
				       struct kudo_packet *packet)
{
	const __u8 *network = (const __u8 *)data_start + kudo_fast_offset(frame);
	const __u8 *end = (const __u8 *)data_end;
	int ingress = frame->direction == KUDO_INGRESS;

	if (packet->family == 4) {
		const struct kudo_ipv4_header *ip = (const struct kudo_ipv4_header *)network;
		const struct kudo_udp_header *ports = (const struct kudo_udp_header *)(ip + 1);

		if ((const __u8 *)(ports + 1) > end) /* never: for the verifier */
			return;
		packet->key4.local = ingress ? ip->destination : ip->source;
		kudo_put_ports(&packet->key4, kudo_swap16(ingress ? ports->source : ports->destination),
			       kudo_swap16(ingress ? ports->destination : ports->source), ip->protocol);
	} else {
		const struct kudo_ipv6_header *ip = (const struct kudo_ipv6_header *)network;
		const struct kudo_udp_header *ports = (const struct kudo_udp_header *)(ip + 1);

		if ((const __u8 *)(ports + 1) > end)
			return;
		__builtin_memcpy(packet->key6.local, ingress ? ip->destination : ip->source, 16);
		kudo_put_ports(&packet->key6, kudo_swap16(ingress ? ports->source : ports->destination),
			       kudo_swap16(ingress ? ports->destination : ports->source), ip->next_header);
	}
}

/* Both: 1: `packet` is what kudo_parse() gives, which returns 0. */
kudo_inline int kudo_parse_fast(const void *data_start, const void *data_end, const struct kudo_frame *frame,
				  struct kudo_packet *packet)
{
	__u32 remote_port;

	if (!kudo_parse_fast_head(data_start, data_end, frame, packet, &remote_port))
		return 0;
	kudo_parse_fast_key(data_start, data_end, frame, packet);
	return 1;
}

#endif /* KUDO_PARSE_FAST_H */
