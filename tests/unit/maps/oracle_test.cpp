// SPDX-License-Identifier: MIT
// Compiled policies against a naive oracle on random nested ranges, and the prefilter's promise.
// Invariant: the oracle looks at the ranges only, never at what compile() built.
#include <algorithm>
#include <bit>
#include <cstring>
#include <random>

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <netinet/in.h>

#include "bpf/prefilter.h"
#include "maps/compile/compile.h"
#include "tests/unit/maps/compile_samples.h"

namespace kudo {
namespace {

Candidates candidates(const CompiledPolicy& compiled, const Address& address) {
    return candidates(compiled, longest_match(compiled, address));
}

// Straight from the ranges: each service's longest prefix around the address, longest first, then as in the map.
Candidates oracle(const RangeMap& map, const CompileOptions& chosen, const Address& address) {
    Candidates result;
    for (const Service& candidate : map.services) {
        if (!is_chosen(candidate, chosen)) continue;
        int longest = -1;
        for (const Range& r : candidate.ranges) {
            if (r.prefix.contains(address)) longest = std::max<int>(longest, r.prefix.length);
        }
        if (longest >= 0) result.emplace_back(candidate.name, static_cast<unsigned>(longest));
    }
    std::ranges::stable_sort(result, [](const auto& a, const auto& b) { return a.second > b.second; });
    return result;
}

// The trie's semantics, one entry after the other.
template <typename Entries> const kudo_match* linear_match(const Entries& entries, const Address& address) {
    const kudo_match* best = nullptr;
    int length = -1;
    for (const auto& [key, match] : entries) {
        Prefix prefix{{.family = address.family}, static_cast<uint8_t>(key.prefix_length)};
        std::memcpy(prefix.address.bytes.data(), &key.address, sizeof key.address);
        if (!prefix.contains(address) || prefix.length <= length) continue;
        best = &match;
        length = prefix.length;
    }
    return best;
}

bool prefilter_hit(const kudo_policy& policy, const Address& address) {
    uint64_t high = 0;
    for (std::size_t i = 0; i < 8; ++i)
        high = high << 8 | address.bytes[i]; // IPv4: the rest is zero
    return address.family == Family::IPv4 ? kudo_prefilter4_maybe(&policy, static_cast<uint32_t>(high >> 32))
                                          : kudo_prefilter6_maybe(&policy, high);
}

Address random_address(std::mt19937& random, Family family) {
    Address address{.family = family};
    for (std::size_t i = 0; i < address.bits() / 8; ++i)
        address.bytes[i] = static_cast<uint8_t>(random());
    return address;
}

// A random address that shares `length` bits with the prefix's: inside it, or just outside.
Address near(std::mt19937& random, const Prefix& prefix) {
    Address address = random_address(random, prefix.address.family);
    const unsigned keep = prefix.length > 0 && random() % 4 == 0 ? prefix.length - 1U : prefix.length;
    for (unsigned bit = 0; bit < keep; ++bit) {
        const auto mask = static_cast<uint8_t>(0x80U >> (bit % 8));
        address.bytes[bit / 8] =
            static_cast<uint8_t>((address.bytes[bit / 8] & ~mask) | (prefix.address.bytes[bit / 8] & mask));
    }
    return address;
}

TEST(Prefilter, HasNoFalseNegativeForAnyLength) {
    std::mt19937 random(2);
    for (const Family family : {Family::IPv4, Family::IPv6}) {
        for (unsigned length = 0; length <= (family == Family::IPv4 ? 32 : 128); ++length) {
            const Prefix prefix = prefix_of(random_address(random, family), length);
            const auto compiled = compile(map_of({service("a", {{prefix, ""}})}), options());
            ASSERT_TRUE(compiled);
            for (int i = 0; i < 2000; ++i) {
                Address address = near(random, prefix);
                if (!prefix.contains(address)) continue;
                ASSERT_TRUE(prefilter_hit(*compiled->policy, address)) << address.text() << " in " << prefix.text();
            }
        }
    }
}

TEST(Prefilter, OfAShortIpv6PrefixStillTurnsStrangersAway) {
    const auto compiled = compile(map_of({service("a", {{Prefix::parse("2001:db0::/28").value(), ""}})}), options());
    int bits = 0;
    for (const auto word : compiled->policy->prefilter6)
        bits += std::popcount(static_cast<uint64_t>(word));
    EXPECT_EQ(bits, 16);
}

// Few distinct bytes, so that random prefixes nest.
Prefix nested_prefix(std::mt19937& random, Family family) {
    Address address{.family = family};
    for (std::size_t i = 0; i < address.bits() / 8; ++i)
        address.bytes[i] = random() % 4 ? 0x0a : 0x0b;
    return prefix_of(address, static_cast<unsigned>(random() % (address.bits() + 1)));
}

TEST(Compile, EntriesAgreeWithTheNaiveOracleOnRandomNestedRanges) {
    int compiled_maps = 0, hits = 0;
    for (unsigned seed = 0; seed < 400; ++seed) {
        std::mt19937 random(seed);
        std::vector<Service> services;
        for (unsigned i = 0, count = 1 + static_cast<unsigned>(random() % 6); i < count; ++i) {
            services.push_back(service(fmt::format("s{}", i), {}, {random() % 3 ? "*" : "us"}));
            if (random() % 4 == 0) services.back().regions = {"eu"};
            for (unsigned j = 0, ranges = static_cast<unsigned>(random() % 12); j < ranges; ++j)
                services.back().ranges.push_back(
                    {nested_prefix(random, random() % 2 ? Family::IPv4 : Family::IPv6), "p"});
        }
        services.push_back(service("here", {}, {"us"}));
        const RangeMap map = map_of(std::move(services));
        const CompileOptions chosen = options({"us"});
        const auto compiled = compile(map, chosen, {{"s3", 9}, {"s0", 2}});
        bool overfull = false;
        std::vector<Address> addresses;
        for (const Service& each : map.services) {
            for (const Range& r : each.ranges) {
                addresses.push_back(r.prefix.address);
                overfull |= oracle(map, chosen, r.prefix.address).size() > KUDO_MAX_CANDIDATES;
                for (int i = 0; i < 8; ++i)
                    addresses.push_back(near(random, r.prefix));
            }
        }
        for (int i = 0; i < 16; ++i)
            addresses.push_back(random_address(random, i % 2 ? Family::IPv4 : Family::IPv6));
        if (!compiled) {
            EXPECT_TRUE(overfull) << compiled.error().message;
            continue;
        }
        ++compiled_maps;
        for (const Address& address : addresses) {
            const Candidates expected = oracle(map, chosen, address);
            ASSERT_LE(expected.size(), std::size_t{KUDO_MAX_CANDIDATES});
            ASSERT_EQ(candidates(*compiled, address), expected) << address.text() << " seed " << seed;
            const kudo_match* linear = address.family == Family::IPv4 ? linear_match(compiled->entries4, address)
                                                                      : linear_match(compiled->entries6, address);
            ASSERT_EQ(longest_match(*compiled, address), linear) << address.text();
            if (expected.empty()) continue;
            ++hits;
            ASSERT_TRUE(prefilter_hit(*compiled->policy, address)) << address.text() << " seed " << seed;
        }
    }
    EXPECT_GT(compiled_maps, 100);
    EXPECT_GT(hits, 5000);
}

} // namespace
} // namespace kudo
