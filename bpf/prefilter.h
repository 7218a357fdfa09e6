/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* Which bit of the prefilter an address falls on. Shared by the data path, the compiler of policies and the tests.
 * Invariant: all addresses of a prefix of at least KUDO_PREFILTER*_EXACT bits share one bit; the compiler sets every
 * bit that a shorter prefix can reach, so a clear bit is never a false "not KUDO". */
#ifndef KUDO_PREFILTER_H
#define KUDO_PREFILTER_H

#include "abi.h"

#define KUDO_PREFILTER4_EXACT 16 /* the bit is the first 16 bits of the address */
#define KUDO_PREFILTER6_EXACT 32 /* the bit is a hash of the first 32 bits of the address */

/* `high`: the first 32 bits of the address, host order. */
static inline __attribute__((always_inline)) __u32 kudo_prefilter4_bit(__u32 high)
{
	return high >> 16;
}

/* Fibonacci hashing: 2^32 / golden ratio, the top 16 bits of the product. */
static inline __attribute__((always_inline)) __u32 kudo_prefilter6_bit(__u32 high)
{
	return (__u32)(high * 2654435769u) >> 16;
}

static inline __attribute__((always_inline)) int kudo_prefilter_hit(const __u64 *words, __u32 bit)
{
	return (int)((words[(bit >> 6) & (KUDO_PREFILTER_WORDS - 1)] >> (bit & 63)) & 1);
}

#endif /* KUDO_PREFILTER_H */
