/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* The parser, step 1 of a packet's path. No helpers, no maps, no clock.
 * Invariant: never reads at or beyond data_end; a header that ends exactly there is complete; a truncated one has its
 * own reason. */
#ifndef KUDO_PARSE_H
#define KUDO_PARSE_H

#include "abi.h"
#include "wire.h"

#define KUDO_MAX_TAGS 4
#define KUDO_MAX_EXTENSIONS 8
#define KUDO_MAX_EXTENSION_BYTES 2048 /* where the last extension header must end, from the frame's beginning */

/* What the interface's frames begin with. */
enum kudo_link_layer {
	KUDO_LINK_ETHERNET = 0,
	KUDO_LINK_NONE = 1, /* tun, WireGuard, PPP: the IP header comes first */
};

/* kudo_parse() returns 0 for an IP packet whose addresses and, where it has them, ports are known; a reason for one
 * that is none; or this: the header lies in the packet, but beyond data_end; make more of it linear and parse again. */
#define KUDO_PARSE_PULL 255

/* What the caller knows of a frame besides its bytes. */
struct kudo_frame {
	__u32 wire_length; /* all of it, at least its linear part, as the link carries it */
	__u32 link;        /* enum kudo_link_layer */
	__u32 direction;   /* enum kudo_direction: decides which side is the remote */
	__u8 is_gso;       /* 1: a GSO or GRO packet, whose IP length field may be zero (BIG TCP) */
	__u8 vlan_accel;   /* 1: the kernel has taken the outermost VLAN tag out of the bytes (skb->vlan_present) */
};

struct kudo_packet {
	union { /* by family */
		struct kudo_flow4_key key4;
		struct kudo_flow6_key key6;
	} __attribute__((aligned(8))); /* all but `interface`, which the caller sets */
	__u8 family;                   /* 4, 6, or 0: not an IP packet */
	__u8 non_first_fragment;
	__u8 has_jumbo_header : 1; /* IPv6 payload length 0 behind a hop-by-hop header: BIG TCP, RFC 2675 */
	__u8 has_options : 1;      /* IPv4 options, an IPv6 routing header or odd AH; kudo_parse() alone tells */
	__u8 opens : 1;            /* TCP with SYN and without ACK; likewise */
	__u8 no_flags : 5;
	__u8 dsfield;              /* DSCP and ECN */
	__u16 l3_offset;           /* of the IP header, from the frame's beginning */
	__u16 header_length;       /* IP header, extension headers and TCP or UDP header together */
	__u32 l3_length;           /* bytes of the IP packet; of anything else: of the frame behind the link headers */
	/* The rest is for admission (admit.h); kudo_parse() alone tells it. */
	union {
		__u16 ethertype; /* family 0: behind all tags; KUDO_ETHERTYPE_PPPOE_SESSION: PPP's own control */
		__u16 fragment;  /* else, host order; IPv4: flags and offset of the header, IPv6: of the fragment header */
	};
	__u8 fragment_header; /* IPv6: where it is, in 8 bytes from the IP header; 0: there is none */
	__u8 hop_limit;       /* or TTL */
};
KUDO_ASSERT(sizeof(struct kudo_packet) == 64, "packet: the fast paths have it on their stack");

/* 1 if the two are equal, else 0, without a branch. */
kudo_inline __u32 kudo_equal(__u16 a, __u16 b)
{
	__u32 difference = (__u32)(a ^ b) - 1;

	kudo_opaque(difference); /* clang would turn it back into a branch */
	return difference >> 31;
}

/* Offsets stay below this; telling the verifier so where paths meet lets it see that they are the same from here on. */
#define KUDO_OFFSET_MASK 0xfff
#define kudo_bound_offset(offset)                                                                                      \
	do {                                                                                                           \
		kudo_opaque(offset);                                                                                   \
		(offset) &= KUDO_OFFSET_MASK;                                                                          \
	} while (0)

/* Of a parsed packet, whatever its family. */
kudo_inline __u8 kudo_protocol_of(const struct kudo_packet *packet)
{
	return packet->family == 4 ? packet->key4.protocol : packet->key6.protocol;
}
kudo_inline __u16 kudo_remote_port_of(const struct kudo_packet *packet)
{
	return packet->family == 4 ? packet->key4.remote_port : packet->key6.remote_port;
}

/* All of them, and so with one store. */
kudo_inline void kudo_clear_flags(struct kudo_packet *packet)
{
	packet->has_jumbo_header = 0;
	packet->has_options = 0;
	packet->opens = 0;
	packet->no_flags = 0;
}

kudo_inline __u32 kudo_is_tag(__u16 type)
{
	return kudo_equal(type, KUDO_ETHERTYPE_VLAN) | kudo_equal(type, KUDO_ETHERTYPE_QINQ) |
	       kudo_equal(type, KUDO_ETHERTYPE_QINQ_OLD);
}

kudo_inline __u32 kudo_parse_transport(const __u8 *data, const __u8 *end, const struct kudo_frame *frame, __u32 offset,
				       __u8 protocol, __u16 *remote_port, __u16 *local_port, struct kudo_packet *packet)
{
	__u32 l3_end = packet->l3_offset + packet->l3_length;
	__u32 size;

	packet->header_length = (__u16)(offset - packet->l3_offset);
	if (packet->non_first_fragment)
		return 0;
	if (protocol == KUDO_PROTOCOL_UDP)
		size = sizeof(struct kudo_udp_header);
	else if (protocol == KUDO_PROTOCOL_TCP)
		size = sizeof(struct kudo_tcp_header);
	else
		return 0;
	if (offset + size > l3_end)
		return KUDO_REASON_TRUNCATED_TRANSPORT;

	/* Both begin with the two ports; TCP says its own length in the 13th byte. */
	const struct kudo_udp_header *ports = (const struct kudo_udp_header *)(data + offset);
	if (protocol == KUDO_PROTOCOL_TCP) {
		const struct kudo_tcp_header *tcp = (const struct kudo_tcp_header *)(data + offset);
		if ((const __u8 *)(tcp + 1) > end)
			return offset + size <= frame->wire_length ? KUDO_PARSE_PULL : KUDO_REASON_TRUNCATED_TRANSPORT;
		__u32 length = (__u32)(tcp->data_offset >> 4) * 4;
		if (length < sizeof(*tcp))
			return KUDO_REASON_BAD_TRANSPORT;
		if (offset + length > l3_end)
			return KUDO_REASON_TRUNCATED_TRANSPORT;
		size = length;
		packet->opens = (tcp->flags & (KUDO_TCP_SYN | KUDO_TCP_ACK)) == KUDO_TCP_SYN;
	} else if ((const __u8 *)(ports + 1) > end) {
		return offset + size <= frame->wire_length ? KUDO_PARSE_PULL : KUDO_REASON_TRUNCATED_TRANSPORT;
	}
	__u16 source = kudo_swap16(ports->source), destination = kudo_swap16(ports->destination);
	*remote_port = frame->direction == KUDO_INGRESS ? source : destination;
	*local_port = frame->direction == KUDO_INGRESS ? destination : source;
	packet->header_length += (__u16)size;
	return 0;
}

kudo_inline __u32 kudo_parse_ipv4(const __u8 *data, const __u8 *end, const struct kudo_frame *frame, __u32 offset,
				  struct kudo_packet *packet)
{
	const struct kudo_ipv4_header *ip = (const struct kudo_ipv4_header *)(data + offset);

	if ((const __u8 *)(ip + 1) > end)
		return offset + sizeof(*ip) <= frame->wire_length ? KUDO_PARSE_PULL : KUDO_REASON_TRUNCATED_IP;
	__u32 header_length = (__u32)(ip->version_and_ihl & 15) * 4;
	__u32 total_length = kudo_swap16(ip->total_length);
	if (frame->is_gso && total_length == 0) /* BIG TCP over IPv4, kernel >= 6.3 */
		total_length = frame->wire_length - offset;
	if (ip->version_and_ihl >> 4 != 4 || header_length < sizeof(*ip) || total_length < header_length)
		return KUDO_REASON_BAD_IP;
	if (offset + total_length > frame->wire_length)
		return KUDO_REASON_TRUNCATED_IP;

	__u16 fragment = kudo_swap16(ip->fragment);
	struct kudo_flow4_key *key = &packet->key4;
	packet->family = 4;
	packet->dsfield = ip->dsfield;
	packet->l3_length = total_length;
	packet->non_first_fragment = (fragment & KUDO_IPV4_FRAGMENT_OFFSET) != 0;
	packet->fragment = fragment;
	packet->has_options = header_length != sizeof(*ip);
	packet->hop_limit = ip->ttl;
	key->remote = frame->direction == KUDO_INGRESS ? ip->source : ip->destination;
	key->local = frame->direction == KUDO_INGRESS ? ip->destination : ip->source;
	key->remote_port = 0;
	key->local_port = 0;
	key->protocol = ip->protocol;
	key->non_first_fragment = packet->non_first_fragment;
	key->pad[0] = key->pad[1] = 0;
	return kudo_parse_transport(data, end, frame, offset + header_length, ip->protocol, &key->remote_port,
				    &key->local_port, packet);
}

/* The extension headers that the walk steps over, one bit per protocol number: 0 to 63 and 128 to 191. One test without
 * branches, since every branch in the walk multiplies the verifier's paths. ESP and No Next Header end the walk. */
#define KUDO_PROTOCOL_BIT(protocol) (1ull << ((protocol)&63))
#define KUDO_LOW_EXTENSIONS                                                                                            \
	(KUDO_PROTOCOL_BIT(KUDO_PROTOCOL_HOP_BY_HOP) | KUDO_PROTOCOL_BIT(KUDO_PROTOCOL_ROUTING) |                      \
	 KUDO_PROTOCOL_BIT(KUDO_PROTOCOL_FRAGMENT) | KUDO_PROTOCOL_BIT(KUDO_PROTOCOL_AH) |                             \
	 KUDO_PROTOCOL_BIT(KUDO_PROTOCOL_DESTINATION_OPTIONS))
#define KUDO_HIGH_EXTENSIONS                                                                                           \
	(KUDO_PROTOCOL_BIT(KUDO_PROTOCOL_MOBILITY) | KUDO_PROTOCOL_BIT(KUDO_PROTOCOL_HIP) |                            \
	 KUDO_PROTOCOL_BIT(KUDO_PROTOCOL_SHIM6))

kudo_inline __u32 kudo_is_extension(__u8 protocol)
{
	__u64 low = kudo_equal(protocol >> 6, 0), high = kudo_equal(protocol >> 6, 2);

	return (KUDO_LOW_EXTENSIONS * low | KUDO_HIGH_EXTENSIONS * high) >> (protocol & 63) & 1;
}

kudo_inline __u32 kudo_parse_ipv6(const __u8 *data, const __u8 *end, const struct kudo_frame *frame, __u32 offset,
				  struct kudo_packet *packet)
{
	const struct kudo_ipv6_header *ip = (const struct kudo_ipv6_header *)(data + offset);

	if ((const __u8 *)(ip + 1) > end)
		return offset + sizeof(*ip) <= frame->wire_length ? KUDO_PARSE_PULL : KUDO_REASON_TRUNCATED_IP;
	__u32 version_class_flow = kudo_swap32(ip->version_class_flow);
	__u32 length = (__u32)kudo_swap16(ip->payload_length) + sizeof(*ip);
	__u8 protocol = ip->next_header;
	if (version_class_flow >> 28 != 6)
		return KUDO_REASON_BAD_IP;
	if (frame->is_gso && ip->payload_length == 0) {
		length = frame->wire_length - offset;
		packet->has_jumbo_header = protocol == KUDO_PROTOCOL_HOP_BY_HOP;
	}
	if (offset + length > frame->wire_length)
		return KUDO_REASON_TRUNCATED_IP;

	struct kudo_flow6_key *key = &packet->key6;
	packet->family = 6;
	packet->dsfield = (__u8)(version_class_flow >> 20);
	packet->hop_limit = ip->hop_limit;
	packet->fragment = 0;
	packet->l3_length = length;
	__builtin_memcpy(key->remote, frame->direction == KUDO_INGRESS ? ip->source : ip->destination, 16);
	__builtin_memcpy(key->local, frame->direction == KUDO_INGRESS ? ip->destination : ip->source, 16);
	key->remote_port = 0;
	key->local_port = 0;
	key->pad[0] = key->pad[1] = 0;
	offset += sizeof(*ip);

	for (int i = 0; kudo_is_extension(protocol); i++) {
		if (i == KUDO_MAX_EXTENSIONS)
			return KUDO_REASON_TOO_MANY_EXTENSIONS;
		if (offset + 8 > packet->l3_offset + length) /* every extension header has at least 8 bytes */
			return KUDO_REASON_TRUNCATED_EXTENSION;
		const struct kudo_ipv6_extension *extension = (const struct kudo_ipv6_extension *)(data + offset);
		if ((const __u8 *)(extension + 1) > end)
			return offset + 8 <= frame->wire_length ? KUDO_PARSE_PULL : KUDO_REASON_TRUNCATED_EXTENSION;
		/* A fragment header has 8 bytes, its second one is reserved; AH counts in units of its own. */
		__u32 is_fragment = kudo_equal(protocol, KUDO_PROTOCOL_FRAGMENT);
		__u32 is_ah = kudo_equal(protocol, KUDO_PROTOCOL_AH);
		__u32 units = extension->length & (is_fragment - 1);
		packet->has_options |= kudo_equal(protocol, KUDO_PROTOCOL_ROUTING);
		__u16 mask = (__u16)(0 - is_fragment);
		packet->fragment_header = (__u8)((packet->fragment_header & ~mask) |
						 ((offset - packet->l3_offset) >> 3 & mask));
		packet->fragment = (packet->fragment & ~mask) | (kudo_swap16(extension->fragment) & mask);
		offset += (units + 1 + is_ah) << (3 - is_ah) & 0xffc;
		/* RFC 4302 section 3.3.3.2.1: in IPv6 AH, too, is a multiple of 8 bytes. */
		packet->has_options |= (offset - packet->l3_offset) >> 2 & 1;
		if (offset > packet->l3_offset + length)
			return KUDO_REASON_TRUNCATED_EXTENSION;
		if (offset > KUDO_MAX_EXTENSION_BYTES)
			return KUDO_REASON_TOO_MANY_EXTENSIONS;
		protocol = extension->next_header;
		if (kudo_swap16(extension->fragment) & 0xfff8 & (0 - is_fragment)) {
			packet->non_first_fragment = 1; /* what follows is not a header but the middle of the payload */
			break;
		}
	}
	kudo_bound_offset(offset);
	key->protocol = protocol;
	key->non_first_fragment = packet->non_first_fragment;
	return kudo_parse_transport(data, end, frame, offset, protocol, &key->remote_port, &key->local_port, packet);
}

/* The link's headers: where the network's begin (packet->l3_offset), and their EtherType. The data path calls the two
 * halves of the parser separately, so that the verifier does not walk the second for every path through the first. */
kudo_inline __u32 kudo_parse_link(const void *data_start, const void *data_end, const struct kudo_frame *frame,
				  struct kudo_packet *packet, __u16 *ethertype)
{
	const __u8 *data = (const __u8 *)data_start, *end = (const __u8 *)data_end;
	__u32 offset = 0;
	__u16 type;

	packet->family = 0;
	packet->non_first_fragment = 0;
	kudo_clear_flags(packet);
	packet->dsfield = 0;
	packet->header_length = 0;
	packet->l3_offset = 0;
	packet->ethertype = 0;
	packet->fragment_header = 0;
	packet->hop_limit = 0;
	packet->l3_length = frame->wire_length;

	if (frame->link == KUDO_LINK_NONE) {
		if (data + 1 > end)
			return frame->wire_length ? KUDO_PARSE_PULL : KUDO_REASON_TRUNCATED_IP;
		type = data[0] >> 4 == 4 ? KUDO_ETHERTYPE_IPV4 : data[0] >> 4 == 6 ? KUDO_ETHERTYPE_IPV6 : 0;
	} else {
		const struct kudo_ethernet_header *ethernet = (const struct kudo_ethernet_header *)data;
		if ((const __u8 *)(ethernet + 1) > end)
			return sizeof(*ethernet) <= frame->wire_length ? KUDO_PARSE_PULL : KUDO_REASON_TRUNCATED_LINK;
		type = kudo_swap16(ethernet->type);
		offset = sizeof(*ethernet);

		for (int i = 0; kudo_is_tag(type); i++) {
			packet->l3_offset = (__u16)offset;
			packet->l3_length = frame->wire_length - offset;
			if (i + frame->vlan_accel >= KUDO_MAX_TAGS)
				return KUDO_REASON_TOO_MANY_TAGS;
			const struct kudo_vlan_tag *tag = (const struct kudo_vlan_tag *)(data + offset);
			if ((const __u8 *)(tag + 1) > end)
				return offset + sizeof(*tag) <= frame->wire_length ? KUDO_PARSE_PULL
										   : KUDO_REASON_TRUNCATED_LINK;
			type = kudo_swap16(tag->type);
			offset += sizeof(*tag);
		}
		kudo_bound_offset(offset);
		packet->l3_offset = (__u16)offset;
		packet->l3_length = frame->wire_length - offset;

		if (type == KUDO_ETHERTYPE_PPPOE_SESSION) {
			const struct kudo_pppoe_header *pppoe = (const struct kudo_pppoe_header *)(data + offset);
			if ((const __u8 *)(pppoe + 1) > end)
				return offset + sizeof(*pppoe) <= frame->wire_length ? KUDO_PARSE_PULL
										     : KUDO_REASON_TRUNCATED_LINK;
			__u16 protocol = kudo_swap16(pppoe->protocol);
			type = pppoe->version_and_type != 0x11 || pppoe->code != 0 ? 0
			       : protocol == KUDO_PPP_IPV4                         ? KUDO_ETHERTYPE_IPV4
			       : protocol == KUDO_PPP_IPV6                         ? KUDO_ETHERTYPE_IPV6
										   : 0;
			packet->ethertype = type == 0 && protocol & 0x8000 && pppoe->version_and_type == 0x11 &&
							    pppoe->code == 0
						    ? KUDO_ETHERTYPE_PPPOE_SESSION
						    : 0;
			offset += sizeof(*pppoe);
			kudo_bound_offset(offset);
			packet->l3_offset = (__u16)offset;
			packet->l3_length = frame->wire_length - offset;
		}
	}

	if (packet->ethertype == 0)
		packet->ethertype = type;
	*ethertype = type;
	return 0;
}

kudo_inline __u32 kudo_parse_network(const void *data_start, const void *data_end, const struct kudo_frame *frame,
				     __u16 ethertype, struct kudo_packet *packet)
{
	const __u8 *data = (const __u8 *)data_start, *end = (const __u8 *)data_end;
	__u32 offset = packet->l3_offset & KUDO_OFFSET_MASK;

	if (ethertype == KUDO_ETHERTYPE_IPV4)
		return kudo_parse_ipv4(data, end, frame, offset, packet);
	if (ethertype == KUDO_ETHERTYPE_IPV6)
		return kudo_parse_ipv6(data, end, frame, offset, packet);
	return KUDO_REASON_NOT_IP;
}

/* Parses one frame, whose linear part is data_start to data_end.
 * Returns 0, an enum kudo_reason, or KUDO_PARSE_PULL. l3_offset and l3_length are always set; the rest as documented.
 */
kudo_inline __u32 kudo_parse(const void *data_start, const void *data_end, const struct kudo_frame *frame,
			     struct kudo_packet *packet)
{
	__u16 ethertype = 0;
	__u32 reason = kudo_parse_link(data_start, data_end, frame, packet, &ethertype);

	return reason ? reason : kudo_parse_network(data_start, data_end, frame, ethertype, packet);
}

#endif /* KUDO_PARSE_H */
