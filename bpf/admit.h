/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* The rules of admission in pure functions: what a packet is to them, whether an allow rule matches and admits it, and
 * what vetoes a packet that was admitted. The order of the steps, and what each means: docs/enforce.md. No helpers, no
 * maps, no clock.
 * Invariant: `bytes` are read up to the lengths that are said here and no further. */
#ifndef KUDO_ADMIT_H
#define KUDO_ADMIT_H

#include "abi.h"
#include "parse.h"
#include "wire.h"

#define KUDO_DHCP4_CLIENT 68 /* RFC 2131 section 4.1, RFC 8415 section 7.2 */
#define KUDO_DHCP4_SERVER 67
#define KUDO_DHCP6_CLIENT 546
#define KUDO_DHCP6_SERVER 547

#define KUDO_ICMP_HEADER 8
#define KUDO_ARP_BYTES 28
#define KUDO_QUOTED4 (20 + 8) /* what is read of the packet that an ICMP error quotes */
#define KUDO_QUOTED6 (40 + 8)

/* What the rules ask of a packet. */
struct kudo_subject {
	__u16 remote_port; /* host order */
	__u16 local_port;
	__u8 family;     /* 4 or 6 */
	__u8 kind;       /* enum kudo_allow_kind, but DHCP: such packets are PROTOCOL */
	__u8 protocol;   /* IPPROTO_* */
	__u8 direction;  /* enum kudo_direction */
	__u8 opens;      /* TCP with SYN and without ACK */
	__u8 is_request; /* of an echo */
	__u8 spoken;     /* this host has sent in its flow, as long ago as the rules allow */
	__u8 pad;
};

kudo_inline __u32 kudo_allow_port_bit(__u16 port)
{
	return port & (KUDO_ALLOW_PORT_BITS - 1);
}

/* May a rule match such ports? 0: certainly none. TCP and UDP. */
kudo_inline int kudo_allow_maybe(const struct kudo_policy *policy, __u16 remote_port, __u16 local_port)
{
	return kudo_bit_is_set(policy->allow_remote_ports, kudo_allow_port_bit(remote_port)) ||
	       kudo_bit_is_set(policy->allow_local_ports, kudo_allow_port_bit(local_port));
}

enum kudo_allow_answer {
	KUDO_ALLOW_NOT = 0,     /* the rule is about other packets */
	KUDO_ALLOW_MATCHES = 1, /* but does not admit it */
	KUDO_ALLOW_ADMITS = 2,
	KUDO_ALLOW_ADMITS_ANSWER = 3, /* the remote may open such flows, so it does not matter whether this host has */
};

kudo_inline int kudo_has_ports(__u8 protocol)
{
	return protocol == KUDO_PROTOCOL_TCP || protocol == KUDO_PROTOCOL_UDP;
}

/* What one rule, whose prefix holds the remote, says. */
kudo_inline enum kudo_allow_answer kudo_put_to_rule(struct kudo_allow rule, const struct kudo_subject *subject)
{
	int any = rule.kind == KUDO_ALLOW_PROTOCOL && rule.protocol == 0 && subject->kind != KUDO_ALLOW_ARP;
	int incoming = subject->direction == KUDO_INGRESS;

	if (rule.kind == KUDO_ALLOW_DHCP) {
		__u16 client = subject->family == 4 ? KUDO_DHCP4_CLIENT : KUDO_DHCP6_CLIENT;
		__u16 server = subject->family == 4 ? KUDO_DHCP4_SERVER : KUDO_DHCP6_SERVER;

		return subject->kind == KUDO_ALLOW_PROTOCOL && subject->protocol == KUDO_PROTOCOL_UDP &&
				       subject->local_port == client && subject->remote_port == server
			       ? KUDO_ALLOW_ADMITS_ANSWER
			       : KUDO_ALLOW_NOT;
	}
	if (!any && (rule.kind != subject->kind ||
		     (rule.kind == KUDO_ALLOW_PROTOCOL && rule.protocol != subject->protocol)))
		return KUDO_ALLOW_NOT;
	if (subject->kind == KUDO_ALLOW_ECHO) {
		int remote_asks = incoming == (subject->is_request != 0);

		return rule.flags & (remote_asks ? KUDO_ALLOW_FROM : KUDO_ALLOW_TO) ? KUDO_ALLOW_ADMITS : KUDO_ALLOW_NOT;
	}
	if (subject->kind != KUDO_ALLOW_PROTOCOL || !kudo_has_ports(subject->protocol))
		return KUDO_ALLOW_ADMITS;
	if ((rule.flags & KUDO_ALLOW_FROM) && subject->local_port >= rule.first_port &&
	    subject->local_port <= rule.last_port && (incoming || !subject->opens))
		return KUDO_ALLOW_ADMITS_ANSWER;
	if ((rule.flags & KUDO_ALLOW_TO) && subject->remote_port >= rule.first_port &&
	    subject->remote_port <= rule.last_port)
		return incoming && (subject->opens || !subject->spoken) ? KUDO_ALLOW_MATCHES : KUDO_ALLOW_ADMITS;
	return KUDO_ALLOW_NOT;
}

/* What an ICMP message is, of its first two bytes. `hop_limit`: of the packet. */
kudo_inline void kudo_read_icmp(struct kudo_subject *subject, __u8 type, __u8 hop_limit)
{
	int v4 = subject->family == 4;

	subject->is_request = type == (v4 ? 8 : 128);
	if (subject->is_request || type == (v4 ? 0 : 129))
		subject->kind = KUDO_ALLOW_ECHO;
	else if (v4 ? type == 3 || type == 11 || type == 12 : type >= 1 && type <= 4)
		subject->kind = KUDO_ALLOW_ICMP_ERROR;
	else if (!v4 && ((type >= 133 && type <= 137 && hop_limit == 255) ||
			 (((type >= 130 && type <= 132) || type == 143) && hop_limit == 1)))
		subject->kind = KUDO_ALLOW_NEIGHBOUR;
}

/* Not IP: does it belong to the link itself? `ethertype`: of struct kudo_packet. */
kudo_inline int kudo_is_link_control(__u16 ethertype)
{
	switch (ethertype) {
	case 0x888e: /* IEEE 802.1X */
	case 0x88c7: /* its preauthentication */
	case 0x8809: /* LACP and other slow protocols */
	case 0x88cc: /* LLDP */
	case 0x8863: /* PPPoE discovery */
	case KUDO_ETHERTYPE_PPPOE_SESSION:
	case 0x890d: /* IEEE 802.11: TDLS, fast transition */
		return 1;
	}
	return ethertype != 0 && ethertype <= 0x05dc;
}

/* The remote of an ARP message of KUDO_ARP_BYTES bytes; 0: it is none for IPv4 over Ethernet. RFC 826. */
kudo_inline int kudo_read_arp(const __u8 *bytes, __u32 direction, __be32 *remote)
{
	if (kudo_load16(bytes + 2) != KUDO_ETHERTYPE_IPV4 || bytes[4] != 6 || bytes[5] != 4)
		return 0;
	__builtin_memcpy(remote, direction == KUDO_INGRESS ? bytes + 14 : bytes + 24, 4);
	return 1;
}

/* What the packet is that an ICMP error quotes. `bytes`: of what is behind the ICMP header, KUDO_QUOTED4 or _6. `error`:
 * the packet that quotes it. 0: it is nothing that can be judged. Its direction is the other one. */
kudo_inline int kudo_read_quoted(const __u8 *bytes, const struct kudo_packet *error, __u32 error_direction,
				 struct kudo_packet *quoted, struct kudo_subject *subject)
{
	const __u8 *transport;
	int incoming = error_direction == KUDO_INGRESS; /* then this host has sent what is quoted */
	__u8 protocol;

	quoted->family = error->family;
	quoted->non_first_fragment = 0;
	if (error->family == 4) {
		const struct kudo_ipv4_header *ip = (const struct kudo_ipv4_header *)bytes;

		if (ip->version_and_ihl != 0x45 || (kudo_swap16(ip->fragment) & KUDO_IPV4_FRAGMENT_OFFSET))
			return 0;
		__builtin_memset(&quoted->key4, 0, sizeof(quoted->key4));
		quoted->key4.remote = incoming ? ip->destination : ip->source;
		quoted->key4.local = incoming ? ip->source : ip->destination;
		if (quoted->key4.local != error->key4.local)
			return 0;
		protocol = ip->protocol;
		transport = bytes + sizeof(*ip);
	} else {
		const struct kudo_ipv6_header *ip = (const struct kudo_ipv6_header *)bytes;

		if (bytes[0] >> 4 != 6)
			return 0;
		__builtin_memset(&quoted->key6, 0, sizeof(quoted->key6));
		__builtin_memcpy(quoted->key6.remote, incoming ? ip->destination : ip->source, 16);
		__builtin_memcpy(quoted->key6.local, incoming ? ip->source : ip->destination, 16);
		__u64 differs = 0, one, other;
		for (int i = 0; i < 16; i += 8) {
			__builtin_memcpy(&one, quoted->key6.local + i, 8);
			__builtin_memcpy(&other, error->key6.local + i, 8);
			differs |= one ^ other;
		}
		if (differs)
			return 0;
		protocol = ip->next_header;
		transport = bytes + sizeof(*ip);
	}
	subject->family = error->family;
	subject->protocol = protocol;
	subject->kind = KUDO_ALLOW_PROTOCOL;
	subject->opens = 0;
	subject->is_request = 0;
	subject->spoken = 0;
	subject->direction = incoming ? KUDO_EGRESS : KUDO_INGRESS;
	subject->remote_port = subject->local_port = 0;
	if (kudo_has_ports(protocol)) {
		__u16 source = kudo_load16(transport), destination = kudo_load16(transport + 2);

		subject->remote_port = incoming ? destination : source;
		subject->local_port = incoming ? source : destination;
		/* Put to the rules as if it came in: what matters is that the flow is one. */
		subject->direction = KUDO_INGRESS;
	} else if (protocol == (error->family == 4 ? KUDO_PROTOCOL_ICMP : KUDO_PROTOCOL_ICMPV6)) {
		kudo_read_icmp(subject, transport[0], 0);
		if (subject->kind != KUDO_ALLOW_ECHO)
			return 0;
	}
	if (error->family == 4) {
		quoted->key4.protocol = protocol;
		quoted->key4.remote_port = subject->remote_port;
		quoted->key4.local_port = subject->local_port;
	} else {
		quoted->key6.protocol = protocol;
		quoted->key6.remote_port = subject->remote_port;
		quoted->key6.local_port = subject->local_port;
	}
	return 1;
}

/* Is it an address that no packet can come from? Also this host's own, where that is the destination. RFC 1122 section
 * 3.2.1.3, RFC 4291 section 2. */
kudo_inline int kudo_is_bad_source(const struct kudo_packet *packet)
{
	if (packet->family == 4) {
		__u32 source = kudo_swap32(packet->key4.remote);

		return source >> 24 == 0 || source >> 24 == 127 || source >> 29 == 7 ||
		       packet->key4.remote == packet->key4.local;
	}
	__u64 high, low, local_high, local_low;

	__builtin_memcpy(&high, packet->key6.remote, 8);
	__builtin_memcpy(&low, packet->key6.remote + 8, 8);
	__builtin_memcpy(&local_high, packet->key6.local, 8);
	__builtin_memcpy(&local_low, packet->key6.local + 8, 8);
	high = kudo_swap64(high);
	low = kudo_swap64(low);
	return high >> 56 == 0xff || (high == 0 && (low <= 1 || low >> 32 == 0xffff)) ||
	       (high == kudo_swap64(local_high) && low == kudo_swap64(local_low));
}

/* Is the checksum of an IPv4 header of 20 bytes right? RFC 1071. */
kudo_inline int kudo_is_header_sum_right(const __u8 *bytes)
{
	__u32 sum = 0;

	for (int i = 0; i < 20; i += 2)
		sum += kudo_load16(bytes + i);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return sum == 0xffff;
}

/* A packet that kudo_parse_fast_head() has taken, from its IP header on: does it open nothing, is it no fragment, and does
 * nothing veto it? What it does not see is what that function leaves to the slow path. */
kudo_inline int kudo_is_plain(const __u8 *network, const __u8 *end, const struct kudo_packet *packet, __u32 direction,
			      int is_gso)
{
	int v4 = packet->family == 4;
	__u32 header = v4 ? sizeof(struct kudo_ipv4_header) : sizeof(struct kudo_ipv6_header);
	const __u8 *transport = network + header;
	__u8 protocol = v4 ? packet->key4.protocol : packet->key6.protocol;

	if (transport + sizeof(struct kudo_udp_header) > end) /* never: for the verifier */
		return 0;
	if (v4 && (kudo_load16(network + 6) & KUDO_IPV4_MORE_FRAGMENTS))
		return 0;
	if (v4 && direction == KUDO_INGRESS && !kudo_is_header_sum_right(network))
		return 0;
	if (protocol == KUDO_PROTOCOL_UDP) {
		__u32 length = kudo_load16(transport + 4);

		return is_gso || (length >= sizeof(struct kudo_udp_header) && length <= packet->l3_length - header);
	}
	if (transport + sizeof(struct kudo_tcp_header) > end)
		return 0;
	return (transport[13] & (KUDO_TCP_SYN | KUDO_TCP_ACK)) != KUDO_TCP_SYN;
}

/* Offset of the packet's payload in the whole datagram, in bytes, and whether more of it follows. */
kudo_inline __u32 kudo_fragment_offset(const struct kudo_packet *packet)
{
	return packet->family == 4 ? (packet->fragment & KUDO_IPV4_FRAGMENT_OFFSET) * 8u : packet->fragment & 0xfff8u;
}
kudo_inline int kudo_more_fragments(const struct kudo_packet *packet)
{
	return packet->family == 4 ? (packet->fragment & KUDO_IPV4_MORE_FRAGMENTS) != 0 : (packet->fragment & 1) != 0;
}

#endif /* KUDO_ADMIT_H */
