/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* The entries of the tables of learned addresses, as pure functions: kudo_learned of names.h.
 * Invariant: a name's time never gets shorter; of more names than fit, the one that ends first goes. */
#ifndef KUDO_LEARNED_H
#define KUDO_LEARNED_H

#include "abi.h"
#include "wire.h"

/* An address's byte in the filter: Fibonacci hashing. `words`: in network order. */
kudo_inline __u32 kudo_learned_byte4(__be32 address)
{
	return (__u32)(address * 2654435769u) >> 16;
}
kudo_inline __u32 kudo_learned_byte6(const __be32 *words)
{
	__u32 folded = (words[0] * 31 + words[1]) * 31 + words[2];

	return (__u32)((folded * 31 + words[3]) * 2654435769u) >> 16;
}
KUDO_ASSERT(KUDO_LEARNED_FILTER == 1 << (32 - 16), "learned filter");

/* From a TTL in seconds, as kudo_dns_walk has it, to ns. */
kudo_inline __u64 kudo_learned_time(__u32 ttl)
{
	if (ttl < KUDO_LEARNED_LEAST)
		ttl = KUDO_LEARNED_LEAST;
	if (ttl > KUDO_LEARNED_MOST)
		ttl = KUDO_LEARNED_MOST;
	return ttl * 1000000000ull;
}

/* Where the domain's name is, or is to be put. */
kudo_inline __u32 kudo_learned_place(const struct kudo_learned *learned, __u64 domain, __u64 now)
{
	__u64 least = ~0ull;
	__u32 place = 0, i;

	for (i = 0; i < KUDO_LEARNED_NAMES; i++) {
		const struct kudo_learned_name *name = &learned->names[i];
		__u64 until = name->domain == 0 || name->until <= now ? 0 : name->until;

		if (name->domain == domain)
			return i;
		if (until < least) {
			least = until;
			place = i;
		}
	}
	return place;
}

/* Adds a name, or renews it. */
kudo_inline void kudo_add_learned(struct kudo_learned *learned, __u64 domain, __u64 query, __u64 now, __u32 ttl)
{
	__u32 place = kudo_learned_place(learned, domain, now);

	kudo_opaque(place);
	struct kudo_learned_name *name = &learned->names[place & (KUDO_LEARNED_NAMES - 1)];
	__u64 until = now + kudo_learned_time(ttl);

	if (name->domain != domain || name->until < until)
		name->until = until;
	name->domain = domain;
	name->query = query;
}

#endif /* KUDO_LEARNED_H */
