/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* What the data path reads of DNS messages: the header and the one question (RFC 1035 section 4.1). No helpers, no
 * maps, no clock.
 * Invariant: reads KUDO_DNS_WINDOW bytes at most; a name that ends in a domain of the policy is never taken for
 * another. */
#ifndef KUDO_DNS_H
#define KUDO_DNS_H

#include "wire.h"

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
#define KUDO_DNS_TYPE_AAAA 28 /* RFC 3596 */
#define KUDO_DNS_CLASS_IN 1

struct kudo_dns_query {
	__u64 hash;   /* of the name in lower case and the type */
	__u64 ending; /* of the last two labels: see kudo_domain_maybe() */
	__u16 id;
};

/* FNV-1a: http://www.isthe.com/chongo/tech/comp/fnv */
#define KUDO_FNV_BASIS 14695981039346656037ull
#define KUDO_FNV_PRIME 1099511628211ull
kudo_inline __u64 kudo_fnv(__u64 hash, __u8 byte)
{
	return (hash ^ byte) * KUDO_FNV_PRIME;
}

/* What the last two labels' hashes come to; each is over its length and its bytes in lower case. */
kudo_inline __u64 kudo_name_ending(__u64 last_but_one, __u64 last)
{
	__u64 both = (last_but_one * 31 + last) * KUDO_FNV_PRIME;

	return both ^ both >> 32;
}

/* An ending's bits in the Bloom filter: with ten domains one other name of 10^8 passes. */
#define KUDO_DOMAIN_BLOOM_HASHES 4
kudo_inline __u32 kudo_domain_bloom_bit(__u64 ending, __u32 hash)
{
	return (__u32)(ending >> hash * 12) & (KUDO_DOMAIN_BLOOM_BITS - 1);
}

/* 0: no service of the policy has a domain that such a name could be under. */
kudo_inline int kudo_domain_maybe(const struct kudo_policy *policy, __u64 ending)
{
	__u32 hash;

	for (hash = 0; hash < KUDO_DOMAIN_BLOOM_HASHES; hash++)
		if (!kudo_bit_is_set(policy->domain_bloom, kudo_domain_bloom_bit(ending, hash)))
			return 0;
	return 1;
}

kudo_inline __u8 kudo_dns_lower(__u8 byte)
{
	return byte >= 'A' && byte <= 'Z' ? byte + ('a' - 'A') : byte;
}

/* 1: the header is followed by a question for addresses; `query` is what. `bytes`: KUDO_DNS_WINDOW bytes of memory,
 * of which the first `available` are the beginning of a datagram's payload. */
kudo_inline int kudo_read_dns_name(const __u8 *bytes, __u32 available, struct kudo_dns_query *query)
{
	__u64 hash = KUDO_FNV_BASIS, label = KUDO_FNV_BASIS, last_but_one = KUDO_FNV_BASIS;
	__u32 left = 0; /* bytes of this label */
	int i;

	if (available < KUDO_DNS_HEADER || available > KUDO_DNS_WINDOW)
		return 0;
	for (i = 0; i < KUDO_DNS_MAX_NAME; i++) {
		if (KUDO_DNS_HEADER + (__u32)i >= available)
			return 0;
		__u8 byte = bytes[KUDO_DNS_HEADER + i];

		if (left == 0) {
			if (byte > KUDO_DNS_MAX_LABEL) /* compression has nothing to point at yet */
				return 0;
			if (byte == 0)
				break;
			left = byte;
			last_but_one = label;
			label = KUDO_FNV_BASIS;
		} else {
			/* Masked for the verifier, which need not tell the lengths apart then. */
			left = (left - 1) & KUDO_DNS_MAX_LABEL;
			byte = kudo_dns_lower(byte);
		}
		label = kudo_fnv(label, byte);
		hash = kudo_fnv(hash, byte);
	}
	if (i == KUDO_DNS_MAX_NAME || KUDO_DNS_HEADER + (__u32)i + 5 > available)
		return 0;
	__u16 type = kudo_load16(bytes + KUDO_DNS_HEADER + i + 1);

	if ((type != KUDO_DNS_TYPE_A && type != KUDO_DNS_TYPE_AAAA) ||
	    kudo_load16(bytes + KUDO_DNS_HEADER + i + 3) != KUDO_DNS_CLASS_IN)
		return 0;
	query->hash = kudo_fnv(hash, (__u8)type);
	query->ending = kudo_name_ending(last_but_one, label);
	query->id = kudo_load16(bytes);
	return 1;
}

/* 1: the datagram is a standard query with one question, for addresses. As above. */
kudo_inline int kudo_read_dns_query(const __u8 *bytes, __u32 available, struct kudo_dns_query *query)
{
	if (available < KUDO_DNS_HEADER)
		return 0;
	/* QDCOUNT 1, ANCOUNT 0: the other counts do not matter. */
	if ((kudo_load16(bytes + 2) & (KUDO_DNS_RESPONSE | KUDO_DNS_OPCODE)) || kudo_load16(bytes + 4) != 1 ||
	    kudo_load16(bytes + 6) != 0)
		return 0;
	return kudo_read_dns_name(bytes, available, query);
}

/* 1: the header says that this is a response to one question, not truncated, without error, with records. `bytes`:
 * KUDO_DNS_HEADER bytes of a datagram's payload. */
kudo_inline int kudo_is_dns_response(const __u8 *bytes)
{
	__u16 flags = kudo_load16(bytes + 2);

	return (flags & (KUDO_DNS_RESPONSE | KUDO_DNS_OPCODE | KUDO_DNS_TRUNCATED | KUDO_DNS_CODE)) ==
		       KUDO_DNS_RESPONSE &&
	       kudo_load16(bytes + 4) == 1 && kudo_load16(bytes + 6) != 0;
}

#endif /* KUDO_DNS_H */
