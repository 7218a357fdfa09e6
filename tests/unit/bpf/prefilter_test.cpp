// SPDX-License-Identifier: MIT
// Which bit of the prefilter an address falls on.
// Invariant: a clear bit is a certain "not KUDO"; what the compiler of policies sets is checked with the maps' tests.
#include <memory>
#include <random>
#include <vector>

#include <gtest/gtest.h>

#include "bpf/prefilter.h"

namespace kudo::test {
namespace {

using Words = std::vector<__u64>;

void set_bit(Words& words, uint32_t bit) {
    words[bit / 64] |= 1ull << bit % 64;
}

TEST(Prefilter, EveryBitLiesInTheTable) {
    std::mt19937 random(1);
    for (int i = 0; i < 1'000'000; ++i) {
        const auto high = static_cast<uint32_t>(random());
        ASSERT_LT(kudo_prefilter4_bit(high), uint32_t{KUDO_PREFILTER_BITS});
        ASSERT_LT(kudo_prefilter6_bit(high), uint32_t{KUDO_PREFILTER_BITS});
        ASSERT_LT(kudo_prefilter4_fine_bit(high), uint32_t{KUDO_PREFILTER_FINE_BITS});
        ASSERT_LT(kudo_prefilter6_fine_bit(uint64_t{high} << 32 | random()), uint32_t{KUDO_PREFILTER_FINE_BITS});
    }
    for (const uint32_t high : {0u, 0xffffffffu, 0x80000000u}) {
        EXPECT_LT(kudo_prefilter4_bit(high), uint32_t{KUDO_PREFILTER_BITS});
        EXPECT_LT(kudo_prefilter6_bit(high), uint32_t{KUDO_PREFILTER_BITS});
    }
}

TEST(Prefilter, AllAddressesOfASixteenShareABit) {
    for (const uint32_t low : {0u, 1u, 0x8000u, 0xffffu})
        EXPECT_EQ(kudo_prefilter4_bit(0x03a70000u | low), kudo_prefilter4_bit(0x03a70000u));
    EXPECT_NE(kudo_prefilter4_bit(0x03a80000u), kudo_prefilter4_bit(0x03a70000u));
}

TEST(Prefilter, AllAddressesOfATwentyFourShareAFineBit) {
    for (const uint32_t low : {0u, 1u, 0x80u, 0xffu})
        EXPECT_EQ(kudo_prefilter4_fine_bit(0x03a7a100u | low), kudo_prefilter4_fine_bit(0x03a7a100u));
    EXPECT_NE(kudo_prefilter4_fine_bit(0x03a7a200u), kudo_prefilter4_fine_bit(0x03a7a100u));
    for (const uint64_t low : {0ull, 1ull, 0x8000ull, 0xffffull})
        EXPECT_EQ(kudo_prefilter6_fine_bit(0x20010db800770000ull | low),
                  kudo_prefilter6_fine_bit(0x20010db800770000ull));
    EXPECT_NE(kudo_prefilter6_fine_bit(0x20010db800780000ull), kudo_prefilter6_fine_bit(0x20010db800770000ull));
}

TEST(Prefilter, OnlyTheBitsThatAreSetAreHit) {
    for (const uint32_t bit : {0u, 1u, 63u, 64u, 65u, 32767u, 65534u, 65535u}) {
        Words words(KUDO_PREFILTER_WORDS);
        set_bit(words, bit);
        for (uint32_t other = 0; other < KUDO_PREFILTER_BITS; ++other)
            ASSERT_EQ(kudo_bit_is_set(words.data(), other), other == bit) << bit << " " << other;
    }
}

TEST(Prefilter, AHitIsZeroOrOne) {
    const Words full(KUDO_PREFILTER_WORDS, ~0ull);
    for (uint32_t bit = 0; bit < KUDO_PREFILTER_BITS; ++bit)
        ASSERT_EQ(kudo_bit_is_set(full.data(), bit), 1);
}

// Neighbouring /32s of one provider must not fall on each other: 2a05:d000::/32 to 2a05:dfff::/32.
TEST(Prefilter, NeighbouringIpv6PrefixesFallOnDifferentBits) {
    Words seen(KUDO_PREFILTER_WORDS);
    for (uint32_t i = 0; i < 4096; ++i) {
        const uint32_t bit = kudo_prefilter6_bit(0x2a05d000u + i);
        EXPECT_FALSE(kudo_bit_is_set(seen.data(), bit)) << i;
        set_bit(seen, bit);
    }
}

} // namespace
} // namespace kudo::test
