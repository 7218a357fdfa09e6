/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* Which of the policy's domains a name is under. Shared by the data path, the compiler of policies and the tests. No
 * helpers, no maps, no clock.
 * Invariant: a name under no domain of the policy finds none, whatever its hash is; of several the most specific is found, and the compiler has added to it the services of those that cover it. */
#ifndef KUDO_DOMAINS_H
#define KUDO_DOMAINS_H

#include "abi.h"
#include "wire.h"

/* FNV-1a: http://www.isthe.com/chongo/tech/comp/fnv */
#define KUDO_FNV_BASIS 14695981039346656037ull
#define KUDO_FNV_PRIME 1099511628211ull
kudo_inline __u64 kudo_fnv(__u64 hash, __u8 byte)
{
	return (hash ^ byte) * KUDO_FNV_PRIME;
}

/* The hash of a name's last labels, with one more in front of them. Of none: KUDO_FNV_BASIS. `label`: the hash of its
 * length and its bytes in lower case. */
kudo_inline __u64 kudo_add_to_ending(__u64 ending, __u64 label)
{
	__u64 both = (label * 31 + ending) * KUDO_FNV_PRIME;

	return both ^ both >> 32;
}

/* What a domain of the range map is found by. `exact`: the name itself; else all names below it. */
kudo_inline __u64 kudo_domain_key(__u64 ending, int exact)
{
	return ((ending ^ (__u64)exact) * KUDO_FNV_PRIME) | 1;
}

/* The bucket; `multiplier`, which is odd, is chosen so that none overflows. */
kudo_inline __u32 kudo_domain_bucket(__u64 key, __u64 multiplier)
{
	return (__u32)(key * multiplier >> 56);
}
KUDO_ASSERT(KUDO_DOMAIN_BUCKETS == 256, "domain bucket");

/* The way in the bucket that has the key; KUDO_DOMAIN_WAYS: none. Without a branch for each of them. */
kudo_inline __u32 kudo_domain_way(const struct kudo_domain *bucket, __u64 key)
{
	__u32 way = KUDO_DOMAIN_WAYS, i;

	for (i = 0; i < KUDO_DOMAIN_WAYS; i++) {
		__u64 other = bucket[i].key ^ key, any = other | (0 - other);

		kudo_opaque(any); /* or compilers make a branch of it, and verifiers follow each */
		way -= ((__u32)(any >> 63) ^ 1) * (KUDO_DOMAIN_WAYS - i);
	}
	return way;
}

/* The domain of that key; null: the policy has none. */
kudo_inline const struct kudo_domain *kudo_find_domain(const struct kudo_policy *policy, __u64 key)
{
	__u32 bucket = kudo_domain_bucket(key, policy->domain_multiplier) & (KUDO_DOMAIN_BUCKETS - 1);
	__u32 way = kudo_domain_way(policy->domains[bucket], key);

	kudo_opaque(way);
	return way < KUDO_DOMAIN_WAYS ? &policy->domains[bucket][way & (KUDO_DOMAIN_WAYS - 1)] : 0;
}

/* What the labels of a name come to so far. */
struct kudo_dns_name {
	__u64 hash;                       /* of all */
	__u64 labels[KUDO_DOMAIN_LABELS]; /* of the last ones alone: label n is element n % KUDO_DOMAIN_LABELS */
	__u16 begins[KUDO_DOMAIN_LABELS]; /* where these are in the message */
	__u32 count;
	__u32 pad;
};

kudo_inline void kudo_begin_dns_name(struct kudo_dns_name *name)
{
	__u32 i;

	name->hash = KUDO_FNV_BASIS;
	name->count = 0;
	for (i = 0; i < KUDO_DOMAIN_LABELS; i++)
		name->labels[i] = KUDO_FNV_BASIS;
}

/* The label that is `back` labels before the end; 0: the last one. */
kudo_inline __u64 kudo_label_from_end(const struct kudo_dns_name *name, __u32 back)
{
	__u32 element = name->count - 1 - back;

	kudo_opaque(element);
	return name->labels[element & (KUDO_DOMAIN_LABELS - 1)];
}

/* The hash of the last two labels: see kudo_domain_maybe(). */
kudo_inline __u64 kudo_name_ending(const struct kudo_dns_name *name)
{
	return kudo_add_to_ending(kudo_add_to_ending(KUDO_FNV_BASIS, kudo_label_from_end(name, 0)),
				  kudo_label_from_end(name, 1));
}

/* Is the rest of the name that begins at `at` the domain's? `bytes`: `window` bytes of memory, which hold a query. Without a
 * branch for each byte, which a verifier would follow. */
kudo_inline int kudo_is_domain_at(const struct kudo_domain *domain, const __u8 *bytes, __u32 window, __u32 at)
{
	__u32 differs = 0, goes_on = 0xff, i;

	for (i = 0; i < KUDO_DOMAIN_BYTES; i++) {
		__u32 index = at + i;

		kudo_opaque(index);
		if (index >= window) /* behind the name's end */
			break;
		__u32 own = domain->name[i], letter = (__u32)bytes[index] - 'A';
		__u32 is_upper = ((letter - 26) >> 31) & ((letter >> 31) ^ 1);

		differs |= ((bytes[index] + (is_upper << 5)) ^ own) & goes_on;
		goes_on &= 0 - ((0 - own) >> 31); /* up to the zero that ends it */
	}
	return differs == 0;
}

/* The search for the most specific domain that a name is under, from its last label to its first. */
struct kudo_domain_search {
	__u64 ending;    /* of the labels so far */
	__u64 candidate; /* the key that they have, if the policy has a domain of that; 0: it has none */
	__u64 found;     /* the key of the domain; 0: none yet */
	__u32 begin;     /* where the labels so far begin */
	__u32 place;     /* of the candidate: bucket * KUDO_DOMAIN_WAYS + way */
};

/* Adds the label that is `back` labels before the name's end. 0: there is none. */
kudo_inline int kudo_extend_search(const struct kudo_policy *policy, const struct kudo_dns_name *name, __u32 back,
				   struct kudo_domain_search *search)
{
	if (back >= name->count)
		return 0;
	__u32 element = name->count - 1 - back;

	kudo_opaque(element);
	search->begin = name->begins[element & (KUDO_DOMAIN_LABELS - 1)];
	search->ending = kudo_add_to_ending(search->ending, kudo_label_from_end(name, back));
	__u64 key = kudo_domain_key(search->ending, back + 1 == name->count);

	__u32 bucket = kudo_domain_bucket(key, policy->domain_multiplier) & (KUDO_DOMAIN_BUCKETS - 1);
	__u32 way = kudo_domain_way(policy->domains[bucket], key);

	search->place = bucket * KUDO_DOMAIN_WAYS + way;
	search->candidate = way < KUDO_DOMAIN_WAYS ? key : 0;
	return 1;
}

/* Are the labels so far the candidate? `bytes` and `window`: the query. */
kudo_inline int kudo_is_candidate(const struct kudo_policy *policy, const __u8 *bytes, __u32 window,
				  const struct kudo_domain_search *search)
{
	__u32 place = kudo_index(search->place, KUDO_DOMAIN_BUCKETS * KUDO_DOMAIN_WAYS - 1);

	return kudo_is_domain_at(&policy->domains[0][0] + place, bytes, window, search->begin);
}

kudo_inline int kudo_search_domain_step(const struct kudo_policy *policy, const __u8 *bytes, __u32 window,
					const struct kudo_dns_name *name, __u32 back, struct kudo_domain_search *search)
{
	if (!kudo_extend_search(policy, name, back, search))
		return 0;
	if (search->candidate && kudo_is_candidate(policy, bytes, window, search))
		search->found = search->candidate;
	return 1;
}

typedef int kudo_search_step(const struct kudo_policy *policy, const __u8 *bytes, __u32 window,
			     const struct kudo_dns_name *name, __u32 back, struct kudo_domain_search *search);

/* The key of the domain; 0: none. `step`: kudo_search_domain_step(), or what calls it, so that a verifier looks at that
 * once. */
kudo_inline __u64 kudo_domain_of_name(kudo_search_step *step, const struct kudo_policy *policy, const __u8 *bytes,
				      __u32 window, const struct kudo_dns_name *name,
				      struct kudo_domain_search *search)
{
	__u32 back;

	search->ending = KUDO_FNV_BASIS;
	search->found = 0;
	for (back = 0; back < KUDO_DOMAIN_LABELS; back++)
		if (!step(policy, bytes, window, name, back, search))
			break;
	return search->found;
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

#endif /* KUDO_DOMAINS_H */
