/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* Which bits of the prefilters an address maps to. Shared by the data path, the compiler of policies and the tests.
 * Invariant: all addresses of a prefix of at least KUDO_PREFILTER*_EXACT (or _FINE) bits share one bit; the compiler
 * sets every bit that a shorter prefix can reach, so a clear bit is never a false "not KUDO". */
#ifndef KUDO_PREFILTER_H
#define KUDO_PREFILTER_H

#include "abi.h"

#define KUDO_PREFILTER4_EXACT 16 /* the coarse bit is the first 16 bits of the address */
#define KUDO_PREFILTER6_EXACT 32 /* the coarse bit is a hash of the first 32 bits of the address */
#define KUDO_PREFILTER4_FINE 24  /* the fine bit is a hash of the first 24 bits */
#define KUDO_PREFILTER6_FINE 48  /* the fine bit is a hash of the first 48 bits */
#define KUDO_PREFILTER_FINE_SHIFT 18

/* `high`: the first 32 bits of the address, host order. */
kudo_inline __u32 kudo_prefilter4_bit(__u32 high)
{
	return high >> 16;
}

/* Fibonacci hashing: 2^32 / golden ratio, the top bits of the product. */
kudo_inline __u32 kudo_prefilter6_bit(__u32 high)
{
	return (__u32)(high * 2654435769u) >> 16;
}

kudo_inline __u32 kudo_prefilter4_fine_bit(__u32 high)
{
	return (__u32)((high >> (32 - KUDO_PREFILTER4_FINE)) * 2654435769u) >> (32 - KUDO_PREFILTER_FINE_SHIFT);
}

/* `high`: the first 64 bits of the address, host order. The same with 64 bits. */
kudo_inline __u32 kudo_prefilter6_fine_bit(__u64 high)
{
	return (__u32)((high >> (64 - KUDO_PREFILTER6_FINE)) * 11400714819323198485ull >>
		       (64 - KUDO_PREFILTER_FINE_SHIFT));
}

/* Both bits of an address; 0: it is certainly not KUDO's. `high` as above. */
kudo_inline int kudo_prefilter4_maybe(const struct kudo_policy *policy, __u32 high)
{
	return kudo_bit_is_set(policy->prefilter4, kudo_prefilter4_bit(high)) &&
	       kudo_bit_is_set(policy->prefilter4_fine, kudo_prefilter4_fine_bit(high));
}

kudo_inline int kudo_prefilter6_maybe(const struct kudo_policy *policy, __u64 high)
{
	return kudo_bit_is_set(policy->prefilter6, kudo_prefilter6_bit((__u32)(high >> 32))) &&
	       kudo_bit_is_set(policy->prefilter6_fine, kudo_prefilter6_fine_bit(high));
}

KUDO_ASSERT(1 << KUDO_PREFILTER_FINE_SHIFT == KUDO_PREFILTER_FINE_BITS, "fine prefilter");

#endif /* KUDO_PREFILTER_H */
