/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* What the data path reads of DNS messages: the header and the one question (RFC 1035 section 4.1). No helpers, no
 * maps, no clock.
 * Invariant: reads KUDO_DNS_WINDOW bytes at most; a name that ends in a domain of the policy is never taken for
 * another. */
#ifndef KUDO_DNS_H
#define KUDO_DNS_H

#include "domains.h"

#define KUDO_DNS_PORT 53
#define KUDO_DNS_HEADER 12    /* identifier, flags, four counts */
#define KUDO_DNS_MAX_NAME 255 /* RFC 1035 section 2.3.4, with the zero that ends it */
#define KUDO_DNS_MAX_LABEL 63
#define KUDO_DNS_WINDOW 272 /* header, name, type and class, rounded up */
#define KUDO_DNS_RESPONSE 0x8000
#define KUDO_DNS_OPCODE 0x7800 /* 0: a standard query */
#define KUDO_DNS_TRUNCATED 0x0200
#define KUDO_DNS_CODE 0x000f /* of a response; 0: no error */
#define KUDO_DNS_TYPE_A 1
#define KUDO_DNS_TYPE_CNAME 5
#define KUDO_DNS_TYPE_AAAA 28 /* RFC 3596 */
#define KUDO_DNS_CLASS_IN 1

struct kudo_dns_query {
	__u64 hash;   /* of the name in lower case and the type */
	__u64 ending; /* of the last two labels: see kudo_domain_maybe() */
	__u16 id;
};

kudo_inline __u8 kudo_dns_lower(__u8 byte)
{
	return byte >= 'A' && byte <= 'Z' ? byte + ('a' - 'A') : byte;
}

/* Adds the label at `at` to the name. Where the next one begins; 0: there is no label, or not all of it. `bytes`: `window`
 * bytes of memory, of which the first `available` are the message. */
kudo_inline __u32 kudo_add_dns_label(const __u8 *bytes, __u32 window, __u32 at, __u32 available,
				     struct kudo_dns_name *name)
{
	if (at >= window || at >= available)
		return 0;
	__u32 length = bytes[at], i;

	if (length == 0 || length > KUDO_DNS_MAX_LABEL || at + length >= available)
		return 0;
	__u64 hash = kudo_fnv(name->hash, (__u8)length), label = kudo_fnv(KUDO_FNV_BASIS, (__u8)length);

	for (i = 1; i <= KUDO_DNS_MAX_LABEL && i <= length; i++) {
		__u32 index = at + i;

		kudo_opaque(index);
		if (index >= window) /* never: for the verifier */
			return 0;
		__u8 byte = kudo_dns_lower(bytes[index]);

		label = kudo_fnv(label, byte);
		hash = kudo_fnv(hash, byte);
	}
	__u32 element = name->count;

	kudo_opaque(element);
	name->hash = hash;
	name->labels[element & (KUDO_DOMAIN_LABELS - 1)] = label;
	name->begins[element & (KUDO_DOMAIN_LABELS - 1)] = (__u16)at;
	name->count++;
	return at + length + 1;
}

/* The same of a query's beginning. */
kudo_inline __u32 kudo_add_query_label(const __u8 *bytes, __u32 at, __u32 available, struct kudo_dns_name *name)
{
	return kudo_add_dns_label(bytes, KUDO_DNS_WINDOW, at, available, name);
}

/* 1: the header is followed by a question for addresses; `query` is what. `bytes`: KUDO_DNS_WINDOW bytes of memory, of
 * which the first `available` are the beginning of a datagram's payload. `add_label`: kudo_add_query_label(), or what calls
 * it: so that a verifier can look at that alone. */
kudo_inline int kudo_read_dns_name_by(__u32 (*add_label)(const __u8 *, __u32, __u32, struct kudo_dns_name *),
				      const __u8 *bytes, __u32 available, struct kudo_dns_name *name,
				      struct kudo_dns_query *query)
{
	__u32 at = KUDO_DNS_HEADER, i;

	kudo_begin_dns_name(name);
	for (i = 0; i <= KUDO_DNS_MAX_NAME / 2; i++) {
		kudo_opaque(at);
		if (at >= KUDO_DNS_HEADER + KUDO_DNS_MAX_NAME || at + 5 > available || available > KUDO_DNS_WINDOW)
			return 0;
		kudo_opaque(at);
		at &= 511; /* changes nothing: verifiers before 6.8 lose what was compared with a copy */
		if (bytes[at] == 0)
			break;
		at = add_label(bytes, at, available, name);
		if (at == 0)
			return 0;
	}
	if (i > KUDO_DNS_MAX_NAME / 2)
		return 0;
	__u16 type = kudo_load16(bytes + at + 1);

	if ((type != KUDO_DNS_TYPE_A && type != KUDO_DNS_TYPE_AAAA) ||
	    kudo_load16(bytes + at + 3) != KUDO_DNS_CLASS_IN)
		return 0;
	query->hash = kudo_fnv(name->hash, (__u8)type);
	query->ending = kudo_name_ending(name);
	query->id = kudo_load16(bytes);
	return 1;
}

kudo_inline int kudo_read_dns_name(const __u8 *bytes, __u32 available, struct kudo_dns_query *query)
{
	struct kudo_dns_name name;

	return kudo_read_dns_name_by(kudo_add_query_label, bytes, available, &name, query);
}

/* 1: the header, which is there, is that of a standard query with one question: QDCOUNT 1, ANCOUNT 0; the other counts do
 * not matter. */
kudo_inline int kudo_is_dns_query(const __u8 *bytes)
{
	return (kudo_load16(bytes + 2) & (KUDO_DNS_RESPONSE | KUDO_DNS_OPCODE)) == 0 && kudo_load16(bytes + 4) == 1 &&
	       kudo_load16(bytes + 6) == 0;
}

/* 1: the datagram is such a query, for addresses. As above. */
kudo_inline int kudo_read_dns_query(const __u8 *bytes, __u32 available, struct kudo_dns_query *query)
{
	return available >= KUDO_DNS_HEADER && kudo_is_dns_query(bytes) && kudo_read_dns_name(bytes, available, query);
}

/* 1: the header says that this is a response to one question of a standard query. `bytes`: KUDO_DNS_HEADER bytes of a
 * datagram's payload. */
kudo_inline int kudo_is_dns_response(const __u8 *bytes)
{
	return (kudo_load16(bytes + 2) & (KUDO_DNS_RESPONSE | KUDO_DNS_OPCODE)) == KUDO_DNS_RESPONSE &&
	       kudo_load16(bytes + 4) == 1;
}

/* 1: of such a response, that it is whole, without error, and has records. */
kudo_inline int kudo_has_dns_answers(const __u8 *bytes)
{
	return (kudo_load16(bytes + 2) & (KUDO_DNS_TRUNCATED | KUDO_DNS_CODE)) == 0 && kudo_load16(bytes + 6) != 0;
}

#endif /* KUDO_DNS_H */
