/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* What the data path reads of the beginning of a TLS connection: the server name in a ClientHello (RFC 8446 sections 4.1.2
 * and 5.1, RFC 6066 section 3), and whether another one may be hidden in it (ECH, RFC 9849). And how QUIC's first packets
 * are told (RFC 9000 section 17.2, RFC 9369 section 3.2). No helpers, no maps, no clock.
 * Invariant: a name is one only if every length before it is right; reads KUDO_HELLO_BYTES bytes at most. */
#ifndef KUDO_TLS_H
#define KUDO_TLS_H

#include "dns.h"

#define KUDO_HELLO_LEAST 11 /* enough to tell that a ClientHello begins: record, handshake, version */
#define KUDO_HELLO_FIXED 44 /* and on up to the session's identifier, whose length is the last byte */
#define KUDO_HELLO_EXTENSIONS 64
#define KUDO_TLS_SERVER_NAME 0
#define KUDO_TLS_ENCRYPTED_HELLO 0xfe0d

/* How far it has come. */
enum kudo_hello_state {
	KUDO_HELLO_GOES_ON = 0, /* another extension follows */
	KUDO_HELLO_ENDS = 1,    /* that was the last one */
	KUDO_HELLO_SHORT = 2,   /* more bytes of it are needed */
	KUDO_HELLO_BAD = 3,
};

struct kudo_hello_walk {
	__u32 at;     /* where the next extension begins */
	__u32 end;    /* of the ClientHello */
	__u32 name;   /* where the server name begins */
	__u32 length; /* of it; 0: none was found */
	__u32 has_ech;
};

/* Does a ClientHello begin here? `bytes`: KUDO_HELLO_LEAST of them. */
kudo_inline int kudo_begins_hello(const __u8 *bytes)
{
	return bytes[0] == 22 && bytes[1] == 3 && bytes[5] == 1 && bytes[6] == 0 && bytes[9] == 3;
}

/* The byte at `at`. The caller has compared that with how many are there: beyond KUDO_HELLO_BYTES it is some other one. */
kudo_inline __u32 kudo_hello_byte(const __u8 *bytes, __u32 at)
{
	return bytes[kudo_index(at, KUDO_HELLO_BYTES - 1)];
}
kudo_inline __u32 kudo_hello_number(const __u8 *bytes, __u32 at)
{
	return kudo_hello_byte(bytes, at) << 8 | kudo_hello_byte(bytes, at + 1);
}

/* Reads up to the extensions. `bytes`: KUDO_HELLO_BYTES bytes of memory, of which the first `available` are there and
 * begin a ClientHello. */
kudo_inline int kudo_read_hello(const __u8 *bytes, __u32 available, struct kudo_hello_walk *walk)
{
	__u32 at = KUDO_HELLO_FIXED - 1, body = kudo_hello_number(bytes, 7), record = kudo_hello_number(bytes, 3);

	walk->at = walk->name = walk->length = walk->has_ech = 0;
	walk->end = 9 + body;
	if (record != body + 4) /* in several records, or with something behind it */
		return KUDO_HELLO_BAD;
	if (at + 1 > available)
		return KUDO_HELLO_SHORT;
	if (kudo_hello_byte(bytes, at) > 32)
		return KUDO_HELLO_BAD;
	at += 1 + kudo_hello_byte(bytes, at); /* session's identifier */
	if (at + 2 > available)
		return KUDO_HELLO_SHORT;
	at += 2 + kudo_hello_number(bytes, at); /* cipher suites */
	if (at + 1 > available)
		return at + 1 > walk->end ? KUDO_HELLO_BAD : KUDO_HELLO_SHORT;
	at += 1 + kudo_hello_byte(bytes, at); /* compression methods */
	if (at == walk->end)
		return KUDO_HELLO_ENDS;
	if (at + 2 > available)
		return at + 2 > walk->end ? KUDO_HELLO_BAD : KUDO_HELLO_SHORT;
	walk->at = at + 2;
	return walk->at + kudo_hello_number(bytes, at) == walk->end ? KUDO_HELLO_GOES_ON : KUDO_HELLO_BAD;
}

/* Reads one extension. */
kudo_inline int kudo_read_extension(const __u8 *bytes, __u32 available, struct kudo_hello_walk *walk)
{
	__u32 at = walk->at;

	if (at >= walk->end)
		return KUDO_HELLO_ENDS;
	if (at + 4 > available)
		return at + 4 > walk->end ? KUDO_HELLO_BAD : KUDO_HELLO_SHORT;
	__u32 type = kudo_hello_number(bytes, at), length = kudo_hello_number(bytes, at + 2);

	walk->at = at + 4 + length;
	if (walk->at > walk->end)
		return KUDO_HELLO_BAD;
	if (type == KUDO_TLS_ENCRYPTED_HELLO)
		walk->has_ech = 1;
	if (type != KUDO_TLS_SERVER_NAME)
		return KUDO_HELLO_GOES_ON;
	if (at + 9 > available)
		return length < 5 ? KUDO_HELLO_BAD : KUDO_HELLO_SHORT;
	/* A list of one name, of type host_name. */
	__u32 name = kudo_hello_number(bytes, at + 7);

	if (walk->length != 0 || kudo_hello_number(bytes, at + 4) + 2 != length || kudo_hello_byte(bytes, at + 6) != 0 ||
	    name + 5 != length || name == 0 || name >= KUDO_DNS_MAX_NAME)
		return KUDO_HELLO_BAD;
	if (walk->at > available)
		return KUDO_HELLO_SHORT;
	walk->name = at + 9;
	walk->length = name;
	return KUDO_HELLO_GOES_ON;
}

/* Writes a host's name ("live.kudoway.ca") as the question of a DNS query, which kudo_read_dns_name() reads. How long that
 * is. `hello`: KUDO_HELLO_BYTES bytes of memory; `question`: KUDO_QUESTION_BYTES, and 4 more. Without any branch for a byte, which a
 * verifier would follow: from the name's end on each one is taken for a dot, and a dot is the place of a length. */
#define KUDO_QUESTION_BYTES 512
kudo_inline __u32 kudo_put_question(const __u8 *hello, const struct kudo_hello_walk *walk, __u8 *question)
{
	__u32 label = KUDO_DNS_HEADER, end, i;

	for (i = 0; i < KUDO_DNS_MAX_NAME; i++) {
		__u32 byte = kudo_hello_byte(hello, walk->name + i), at = KUDO_DNS_HEADER + 1 + i;
		__u32 dot = (((byte ^ '.') - 1) | (walk->length - 1 - i)) >> 31; /* 1: a dot, or behind the end */

		kudo_opaque(dot);
		question[at] = (__u8)byte;
		label += (at - label) & (0 - dot);
		question[kudo_index(label, KUDO_QUESTION_BYTES - 1)] = (__u8)(at - label);
	}
	end = kudo_index(KUDO_DNS_HEADER + 1 + walk->length, KUDO_QUESTION_BYTES - 1);
	question[end] = 0;
	question[end + 1] = KUDO_DNS_TYPE_A >> 8;
	question[end + 2] = KUDO_DNS_TYPE_A;
	question[end + 3] = KUDO_DNS_CLASS_IN >> 8;
	question[end + 4] = KUDO_DNS_CLASS_IN;
	return end + 5;
}

#define KUDO_HTTPS_PORT 443
#define KUDO_DOT_PORT 853 /* DNS over TLS (RFC 7858) or QUIC (RFC 9250) */

/* Remote TCP ports on which this host's ClientHellos are read: those of KUDO's rules. */
kudo_inline int kudo_is_hello_port(__u16 port)
{
	return port == KUDO_HTTPS_PORT || port == 8445 || port == 9444;
}

/* May these be the first bytes of a QUIC connection: an Initial packet of version 1 or 2? `bytes`: 5 of the datagram's
 * payload, `length`: of all of that; a client fills the first datagrams up to 1200 bytes (RFC 9000 section 14.1). */
kudo_inline int kudo_begins_quic(const __u8 *bytes, __u32 length)
{
	__u32 version = kudo_load32(bytes + 1), kind = bytes[0] & 0xf0;

	return length >= 1200 && ((version == 1 && kind == 0xc0) || (version == 0x6b3343cf && kind == 0xd0));
}

/* Addresses of public resolvers that browsers and systems ask over HTTPS: who does so shows no names here. In host order.
 * From the lists of resolvers that Chromium and Firefox carry, as of 2026: an aid, not complete. */
kudo_inline int kudo_is_public_resolver4(__u32 address)
{
	__u32 first24 = address >> 8;

	return address == 0x08080808 || address == 0x08080404 ||                         /* Google */
	       (first24 == 0x010101 || first24 == 0x010000) ||                           /* Cloudflare */
	       (address == 0xa29f3d03 || address == 0xa29f3d04) ||                       /* ... for browsers: 162.159.61.3, .4 */
	       (address == 0xac402903 || address == 0xac402904) ||                       /* 172.64.41.3, .4 */
	       first24 == 0x090909 || first24 == 0x957070 ||                             /* Quad9 */
	       first24 == 0xd043de || first24 == 0xd043dc || first24 == 0x927029 ||      /* OpenDNS */
	       first24 == 0x5e8c0e || first24 == 0x5e8c0f ||                             /* AdGuard */
	       first24 == 0xb9e4a8 || first24 == 0xb9e4a9 ||                             /* CleanBrowsing */
	       first24 == 0x2d5a1c || first24 == 0x2d5a1e;                               /* NextDNS */
}
kudo_inline int kudo_is_public_resolver6(const __be32 *words)
{
	__u32 first = kudo_swap32(words[0]), second = kudo_swap32(words[1]);

	return (first == 0x20014860 && second == 0x48600000) || /* Google */
	       (first == 0x26064700 && second == 0x47000000) || /* Cloudflare */
	       (first == 0x2803f800 && second == 0x00530000) || /* ... for browsers */
	       (first == 0x262000fe && second == 0) ||          /* Quad9: 2620:fe:: */
	       (first == 0x26200119 && (second >> 16) == 0x35) || /* OpenDNS */
	       (first == 0x2a1050c0 && second == 0) ||          /* AdGuard */
	       (first == 0x2a0d2a00 && second == 0x00010000) || /* CleanBrowsing */
	       (first == 0x2a07a8c0 && second == 0) || (first == 0x2a07a8c1 && second == 0); /* NextDNS */
}

#endif /* KUDO_TLS_H */
