/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* Walks the answers of a DNS response (RFC 1035 section 4.1) from the question's name along its aliases to the addresses.
 * No helpers, no maps, no clock: what becomes of an address is the caller's.
 * Invariants: nothing is read behind the message; a pointer leads to before the name that it is in, so that every name
 * ends; a record counts only if its owner is the name that the chain has come to; work is bounded for every message. */
#ifndef KUDO_DNS_ANSWER_H
#define KUDO_DNS_ANSWER_H

#include "dns.h"

#define KUDO_DNS_MAX_RECORDS 80  /* that are looked at: what a message of 1232 bytes can hold is less than 80 addresses */
#define KUDO_DNS_MAX_ALIASES 16
#define KUDO_DNS_MAX_STEPS 144   /* labels and pointers of one name: 127 are possible without pointers */
#define KUDO_DNS_MAX_WORK 1024    /* of the whole message */
#define KUDO_DNS_RECORD 10       /* bytes of a record between its owner and its data */

/* A walk through one message. */
struct kudo_dns_walk {
	__u64 query;     /* the hash that the question must have: of its name and type */
	__u64 wanted;    /* the hash of the name whose records count now */
	__u32 length;    /* of the message */
	__u32 at;        /* where the next record begins */
	__u32 cursor;    /* of the name that is read */
	__u32 segment;   /* where the name, or the part that a pointer led to, began */
	__u32 after;     /* behind the name; 0: not known yet */
	__u32 size;      /* of the name so far, without its end */
	__u32 work;      /* labels and pointers read */
	__u32 aliases;
	__u32 ttl;       /* the least of the aliases', in seconds */
	__u32 found_ttl; /* the address's own, or of an alias that has less */
	__be32 found[4]; /* the address; IPv4's is the first word */
	__u32 type;      /* of the question */
	__u32 failed;    /* enum kudo_dns_outcome; 0: nothing has */
	__u32 left;      /* records */
	__u32 addresses;
};
KUDO_ASSERT(KUDO_ANSWER_LEARNED == 0, "0 is no failure");

enum kudo_dns_record {
	KUDO_RECORD_BAD = 0, /* the walk ends: `failed` says why */
	KUDO_RECORD_OTHER = 1,
	KUDO_RECORD_UNRELATED = 2, /* of a name that was not asked for */
	KUDO_RECORD_ALIAS = 3,
	KUDO_RECORD_ADDRESS = 4, /* `found` and `found_ttl` */
};

kudo_inline int kudo_fail_walk(struct kudo_dns_walk *walk, enum kudo_dns_outcome why)
{
	walk->failed = why;
	return 0;
}

/* One label or pointer of the name. 1: go on; 0: that was its end, or the walk has failed. */
kudo_inline int kudo_read_name_step(const __u8 *bytes, struct kudo_dns_walk *walk, struct kudo_dns_name *name)
{
	__u32 at = walk->cursor;

	if (++walk->work > KUDO_DNS_MAX_WORK)
		return kudo_fail_walk(walk, KUDO_ANSWER_LONG_CHAIN);
	if (at >= walk->length)
		return kudo_fail_walk(walk, KUDO_ANSWER_TRUNCATED);
	kudo_opaque(at);
	if (at >= KUDO_RESPONSE_BYTES) /* never: for the verifier, as all such lines here */
		return 0;
	__u32 byte = bytes[at];

	if (byte == 0) {
		if (walk->after == 0)
			walk->after = at + 1;
		return 0;
	}
	if (byte >= 0xc0) {
		__u32 second = at + 1;

		if (second >= walk->length)
			return kudo_fail_walk(walk, KUDO_ANSWER_TRUNCATED);
		kudo_opaque(second);
		if (second >= KUDO_RESPONSE_BYTES)
			return 0;
		__u32 target = (byte & 0x3f) << 8 | bytes[second];

		if (target >= walk->segment || target < KUDO_DNS_HEADER)
			return kudo_fail_walk(walk, KUDO_ANSWER_BAD_NAME);
		if (walk->after == 0)
			walk->after = at + 2;
		walk->segment = walk->cursor = target;
		return 1;
	}
	walk->size += byte + 1;
	if (byte > KUDO_DNS_MAX_LABEL || walk->size >= KUDO_DNS_MAX_NAME)
		return kudo_fail_walk(walk, KUDO_ANSWER_BAD_NAME);
	__u32 next = kudo_add_dns_label(bytes, KUDO_RESPONSE_BYTES, at, walk->length, name);

	if (next == 0)
		return kudo_fail_walk(walk, KUDO_ANSWER_TRUNCATED);
	walk->cursor = next;
	return 1;
}

typedef int kudo_dns_step(const __u8 *bytes, struct kudo_dns_walk *walk, struct kudo_dns_name *name);

/* Reads the name at `begin`: its hash, and walk->after. `step`: kudo_read_name_step(), or what calls it, so that a verifier
 * looks at that once. 0: the walk has failed. */
kudo_inline int kudo_read_name_by(kudo_dns_step *step, const __u8 *bytes, __u32 begin, struct kudo_dns_walk *walk,
				  struct kudo_dns_name *name)
{
	__u32 i;

	walk->cursor = walk->segment = begin;
	walk->after = walk->size = 0;
	kudo_begin_dns_name(name);
	for (i = 0; i < KUDO_DNS_MAX_STEPS; i++)
		if (!step(bytes, walk, name))
			break;
	if (i == KUDO_DNS_MAX_STEPS)
		return kudo_fail_walk(walk, KUDO_ANSWER_BAD_NAME);
	return walk->failed == 0;
}

/* Begins a walk: reads the question. Afterwards its hash, as kudo_dns_query.hash, is walk->query. `read_name`: by the above.
 */
typedef int kudo_dns_read_name(const __u8 *bytes, __u32 begin, struct kudo_dns_walk *walk, struct kudo_dns_name *name);
kudo_inline int kudo_read_question_by(kudo_dns_read_name *read_name, const __u8 *bytes, __u32 length,
				      struct kudo_dns_walk *walk, struct kudo_dns_name *name)
{
	*walk = (struct kudo_dns_walk){};
	walk->length = length;
	walk->ttl = ~0u;
	if (!read_name(bytes, KUDO_DNS_HEADER, walk, name))
		return 0;
	__u32 at = walk->after;

	if (at + 4 > length)
		return kudo_fail_walk(walk, KUDO_ANSWER_TRUNCATED);
	kudo_opaque(at);
	if (at > KUDO_RESPONSE_BYTES - 4)
		return 0;
	walk->type = kudo_load16(bytes + at);
	if ((walk->type == KUDO_DNS_TYPE_A || walk->type == KUDO_DNS_TYPE_AAAA) &&
	    kudo_load16(bytes + at + 2) == KUDO_DNS_CLASS_IN)
		walk->query = kudo_fnv(name->hash, (__u8)walk->type);
	walk->wanted = name->hash;
	walk->at = at + 4;
	walk->left = kudo_load16(bytes + 6);
	return 1;
}

/* The address of `size` bytes, which are in the message. */
kudo_inline void kudo_copy_found(const __u8 *bytes, __u32 data, __u32 size, __be32 *found)
{
	__u32 i;

	for (i = 0; i < 4 && i * 4 < size; i++) {
		__u32 at = data + i * 4;

		kudo_opaque(at);
		if (at > KUDO_RESPONSE_BYTES - 4)
			return;
		__builtin_memcpy(&found[i], bytes + at, 4);
	}
}

/* Reads the record at walk->at: enum kudo_dns_record. */
kudo_inline int kudo_read_record_by(kudo_dns_read_name *read_name, const __u8 *bytes, struct kudo_dns_walk *walk,
				    struct kudo_dns_name *name)
{
	if (!read_name(bytes, walk->at, walk, name))
		return KUDO_RECORD_BAD;
	__u32 at = walk->after;

	if (at + KUDO_DNS_RECORD > walk->length)
		return kudo_fail_walk(walk, KUDO_ANSWER_TRUNCATED);
	kudo_opaque(at);
	if (at > KUDO_RESPONSE_BYTES - KUDO_DNS_RECORD)
		return KUDO_RECORD_BAD;
	__u32 type = kudo_load16(bytes + at), class_ = kudo_load16(bytes + at + 2);
	__u32 ttl = kudo_load32(bytes + at + 4);
	__u32 size = kudo_load16(bytes + at + 8), data = at + KUDO_DNS_RECORD;

	if (data + size > walk->length)
		return kudo_fail_walk(walk, KUDO_ANSWER_TRUNCATED);
	walk->at = data + size;
	if (ttl >> 31) /* RFC 2181 section 8 */
		ttl = 0;
	if (ttl > walk->ttl)
		ttl = walk->ttl;
	if (class_ != KUDO_DNS_CLASS_IN)
		return KUDO_RECORD_OTHER;
	if (name->hash != walk->wanted)
		return KUDO_RECORD_UNRELATED;
	if (type == KUDO_DNS_TYPE_CNAME) {
		if (++walk->aliases > KUDO_DNS_MAX_ALIASES)
			return kudo_fail_walk(walk, KUDO_ANSWER_LONG_CHAIN);
		if (!read_name(bytes, data, walk, name))
			return KUDO_RECORD_BAD;
		if (walk->after != walk->at)
			return kudo_fail_walk(walk, KUDO_ANSWER_BAD_NAME);
		walk->wanted = name->hash;
		walk->ttl = ttl;
		return KUDO_RECORD_ALIAS;
	}
	if (type != walk->type || size != (type == KUDO_DNS_TYPE_A ? 4u : 16u))
		return KUDO_RECORD_OTHER;
	kudo_copy_found(bytes, data, size, walk->found);
	walk->found_ttl = ttl;
	return KUDO_RECORD_ADDRESS;
}

/* All of it, as one function calls the other: for whoever has no verifier to please. */
kudo_inline int kudo_read_name(const __u8 *bytes, __u32 begin, struct kudo_dns_walk *walk, struct kudo_dns_name *name)
{
	return kudo_read_name_by(kudo_read_name_step, bytes, begin, walk, name);
}

#endif /* KUDO_DNS_ANSWER_H */
