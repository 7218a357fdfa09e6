/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* Protocol numbers and fixed headers as they are on the wire, multi-byte fields in network order.
 * Invariant: packed to the byte, sizes asserted. */
#ifndef KUDO_WIRE_H
#define KUDO_WIRE_H

#include "abi.h"

#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define kudo_swap16(x) __builtin_bswap16(x)
#define kudo_swap32(x) __builtin_bswap32(x)
#define kudo_swap64(x) __builtin_bswap64(x)
#else
#define kudo_swap16(x) ((__u16)(x))
#define kudo_swap32(x) ((__u32)(x))
#define kudo_swap64(x) ((__u64)(x))
#endif

/* Hides from the compiler what it knows of a number. */
#define kudo_opaque(number) asm volatile("" : "+r"(number))

/* An index into a table of mask + 1 elements, in a way that every compiler leaves for the verifier to see: what a compiler
 * knows of a number it does not mask. */
kudo_inline __u32 kudo_index(__u32 number, __u32 mask)
{
	kudo_opaque(number);
	return number & mask;
}

/* Numbers in network order, wherever they lie. */
kudo_inline __u16 kudo_load16(const __u8 *bytes)
{
	return (__u16)(bytes[0] << 8 | bytes[1]);
}
kudo_inline __u32 kudo_load32(const __u8 *bytes)
{
	return (__u32)kudo_load16(bytes) << 16 | kudo_load16(bytes + 2);
}

/* EtherTypes: IEEE 802 numbers, RFC 9542 appendix B; 0x9100 is the older QinQ tag still in use. */
#define KUDO_ETHERTYPE_IPV4 0x0800
#define KUDO_ETHERTYPE_IPV6 0x86dd
#define KUDO_ETHERTYPE_ARP 0x0806
#define KUDO_ETHERTYPE_VLAN 0x8100
#define KUDO_ETHERTYPE_QINQ 0x88a8
#define KUDO_ETHERTYPE_QINQ_OLD 0x9100
#define KUDO_ETHERTYPE_PPPOE_SESSION 0x8864

/* PPP protocol field: RFC 1332, RFC 5072. */
#define KUDO_PPP_IPV4 0x0021
#define KUDO_PPP_IPV6 0x0057

/* IANA protocol numbers. */
#define KUDO_PROTOCOL_HOP_BY_HOP 0
#define KUDO_PROTOCOL_ICMP 1
#define KUDO_PROTOCOL_TCP 6
#define KUDO_PROTOCOL_UDP 17
#define KUDO_PROTOCOL_ROUTING 43
#define KUDO_PROTOCOL_FRAGMENT 44
#define KUDO_PROTOCOL_AH 51
#define KUDO_PROTOCOL_ICMPV6 58
#define KUDO_PROTOCOL_DESTINATION_OPTIONS 60
#define KUDO_PROTOCOL_MOBILITY 135
#define KUDO_PROTOCOL_HIP 139
#define KUDO_PROTOCOL_SHIM6 140

/* Natively a header may lie anywhere. For the kernel's programs the compiler is told the alignment that headers mostly
 * have, or it would load every field byte by byte; where they have not, the architectures that matter do not care, and
 * on others the verifier refuses the program. */
#ifdef __bpf__
#define KUDO_WIRE(alignment) __attribute__((packed, aligned(alignment)))
#else
#define KUDO_WIRE(alignment) __attribute__((packed))
#endif

struct kudo_ethernet_header {
	__u8 destination[6];
	__u8 source[6];
	__be16 type;
} KUDO_WIRE(2);

struct kudo_vlan_tag { /* what follows the EtherType 0x8100 and its kin */
	__be16 control;
	__be16 type;
} KUDO_WIRE(4);

struct kudo_pppoe_header {     /* RFC 2516 section 4, and the PPP protocol field behind it */
	__u8 version_and_type; /* 0x11 */
	__u8 code;             /* 0: session data */
	__be16 session;
	__be16 length; /* of what follows, the PPP protocol field included */
	__be16 protocol;
} KUDO_WIRE(4);

struct kudo_ipv4_header { /* RFC 791 section 3.1 */
	__u8 version_and_ihl;
	__u8 dsfield; /* DSCP in the upper six bits, ECN in the lower two */
	__be16 total_length;
	__be16 id;
	__be16 fragment; /* flags in the upper three bits, offset in units of 8 bytes below */
	__u8 ttl;
	__u8 protocol;
	__be16 checksum;
	__be32 source;
	__be32 destination;
} KUDO_WIRE(4);
#define KUDO_IPV4_MORE_FRAGMENTS 0x2000
#define KUDO_IPV4_FRAGMENT_OFFSET 0x1fff

struct kudo_ipv6_header {          /* RFC 8200 section 3 */
	__be32 version_class_flow; /* 4 bits version, 8 bits traffic class, 20 bits flow label */
	__be16 payload_length;
	__u8 next_header;
	__u8 hop_limit;
	__be32 source[4];
	__be32 destination[4];
} KUDO_WIRE(4);

struct kudo_ipv6_extension { /* RFC 8200 section 4: the common beginning */
	__u8 next_header;
	__u8 length; /* in units of 8 bytes beyond the first 8; AH counts 4-byte units minus 2 (RFC 4302 section 2.2) */
	__be16 fragment; /* fragment header only: offset in units of 8 bytes in the upper 13 bits */
} KUDO_WIRE(4);

struct kudo_udp_header { /* RFC 768 */
	__be16 source;
	__be16 destination;
	__be16 length;
	__be16 checksum;
} KUDO_WIRE(4);

#define KUDO_TCP_SYN 0x02
#define KUDO_TCP_ACK 0x10
struct kudo_tcp_header { /* RFC 9293 section 3.1 */
	__be16 source;
	__be16 destination;
	__be32 sequence;
	__be32 acknowledgement;
	__u8 data_offset; /* in 4-byte units, upper four bits */
	__u8 flags;
	__be16 window;
	__be16 checksum;
	__be16 urgent;
} KUDO_WIRE(4);

KUDO_ASSERT(sizeof(struct kudo_ethernet_header) == 14, "Ethernet header");
KUDO_ASSERT(sizeof(struct kudo_vlan_tag) == 4, "VLAN tag");
KUDO_ASSERT(sizeof(struct kudo_pppoe_header) == 8, "PPPoE header");
KUDO_ASSERT(sizeof(struct kudo_ipv4_header) == 20, "IPv4 header");
KUDO_ASSERT(sizeof(struct kudo_ipv6_header) == 40, "IPv6 header");
KUDO_ASSERT(sizeof(struct kudo_ipv6_extension) == 4, "IPv6 extension");
KUDO_ASSERT(sizeof(struct kudo_udp_header) == 8, "UDP header");
KUDO_ASSERT(sizeof(struct kudo_tcp_header) == 20, "TCP header");

#endif /* KUDO_WIRE_H */
