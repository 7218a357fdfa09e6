// SPDX-License-Identifier: MIT
// What compile() makes of a range map: slots, ports, trie entries, prefilters, hash, refusals.
// Invariant: each test names one behaviour; random input is in maps_oracle_test.cpp.
#include <algorithm>
#include <bit>
#include <cstring>
#include <ctime>
#include <numeric>

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <netinet/in.h>

#include "maps/compile/compile.h"
#include "maps/document/built_in.h"
#include "tests/unit/maps/compile_samples.h"

namespace kudo {
namespace {

Range range(std::string_view text) {
    return {Prefix::parse(text).value(), fmt::format("at {}", text)};
}

std::string error_of(const Result<CompiledPolicy>& compiled) {
    return compiled ? "compiled" : compiled.error().message;
}

Candidates candidates(const CompiledPolicy& compiled, const Address& address) {
    return candidates(compiled, longest_match(compiled, address));
}

Candidates candidates(const CompiledPolicy& compiled, std::string_view address) {
    return candidates(compiled, Address::parse(address).value());
}

TEST(Compile, BuiltInMapForOneRegion) {
    const auto compiled = compile(built_in_range_map(), options({"ca"}));
    ASSERT_TRUE(compiled) << compiled.error().message;
    EXPECT_EQ(compiled->entries4.size(), 44U + 1);
    EXPECT_EQ(compiled->policy->prefixes4, 45U);
    EXPECT_EQ(compiled->policy->prefixes6, 45U); // the same behind a NAT64
    EXPECT_EQ(count_nat64(*compiled, options({"ca"})), 45U);
    EXPECT_EQ(compiled->policy->serial, 2022030100U);
    EXPECT_EQ(compiled->policy->generation, 0U);
    EXPECT_EQ(compiled->policy->mode, static_cast<uint32_t>(KUDO_PRIORITISE));
    EXPECT_EQ(compiled->slots, (ServiceSlots{{"media", 1}, {"region-ca", 2}, {"opentok", 3}}));
    EXPECT_EQ(candidates(*compiled, "3.97.146.187"), (Candidates{{"region-ca", 32}}));
    EXPECT_EQ(candidates(*compiled, "3.7.161.50"), (Candidates{{"media", 28}}));
    EXPECT_EQ(candidates(*compiled, "44.194.123.245"), Candidates{}); // the region us
    EXPECT_EQ(longest_match(*compiled, Address::parse("2001:db8::1").value()), nullptr);
}

TEST(Compile, PrefilterOfTheBuiltInMapHasABitForEachSlash16) {
    const auto compiled = compile(built_in_range_map(), options({"ca", "cn", "eu", "us"}, {"teams"}));
    ASSERT_TRUE(compiled);
    EXPECT_EQ(compiled->entries4.size(), 51U);
    std::vector<uint32_t> sixteens;
    for (const auto& entry : compiled->entries4)
        sixteens.push_back(ntohl(entry.first.address) >> 16);
    sixteens.erase(std::unique(sixteens.begin(), sixteens.end()), sixteens.end());
    int bits = 0;
    for (const auto word : compiled->policy->prefilter4)
        bits += std::popcount(static_cast<uint64_t>(word));
    EXPECT_EQ(static_cast<std::size_t>(bits), sixteens.size());
    const auto ones = [](int sum, auto word) { return sum + std::popcount(static_cast<uint64_t>(word)); };
    EXPECT_EQ(
        std::accumulate(std::begin(compiled->policy->prefilter6), std::end(compiled->policy->prefilter6), 0, ones),
        1); // 64:ff9b::/96
}

TEST(Compile, MediaOverTcpIsFallback) {
    const auto compiled = compile(built_in_range_map(), options({"us"}, {"teams"}));
    ASSERT_TRUE(compiled);
    const auto& ports = compiled->policy->services[compiled->slots.at("media")].ports;
    EXPECT_EQ(ports[0].port, 3478);
    EXPECT_EQ(ports[0].protocol, IPPROTO_UDP);
    EXPECT_EQ(ports[0].class_, KUDO_CLASS_MEDIA);
    EXPECT_EQ(ports[1].port, 443);
    EXPECT_EQ(ports[1].class_, KUDO_CLASS_FALLBACK);
    EXPECT_EQ(ports[2].protocol, 0);
    const auto& teams = compiled->policy->services[compiled->slots.at("teams")].ports;
    EXPECT_EQ(teams[2].port, 9444);
    EXPECT_EQ(teams[2].class_, KUDO_CLASS_CONTROL);
}

TEST(Compile, OptionalServiceIsLeftOutUnlessAskedFor) {
    EXPECT_FALSE(compile(built_in_range_map(), options({"us"}))->slots.contains("teams"));
    EXPECT_TRUE(compile(built_in_range_map(), options({"us"}, {"teams"}))->slots.contains("teams"));
}

TEST(Compile, UnknownRegionIsRefusedWithThoseThatExist) {
    EXPECT_EQ(error_of(compile(built_in_range_map(), options({"us", "mars"}))),
              "region \"mars\" is not in the range map; it has ca, cn, eu, us");
    EXPECT_EQ(error_of(compile(built_in_range_map(), options())),
              "no region is chosen; the range map has ca, cn, eu, us");
}

TEST(Compile, UnknownOptionalServiceIsRefused) {
    EXPECT_EQ(error_of(compile(built_in_range_map(), options({"us"}, {"zoom"}))),
              "optional service \"zoom\" is not in the range map; it has teams");
}

TEST(Compile, SlotsStayWithTheirNamesAndNewNamesGetTheLowestFree) {
    const RangeMap map = map_of({service("a", {range("10.0.0.0/8")}), service("b", {}), service("c", {})});
    const auto compiled = compile(map, options(), {{"gone", 1}, {"b", 3}});
    ASSERT_TRUE(compiled);
    EXPECT_EQ(compiled->slots, (ServiceSlots{{"gone", 1}, {"a", 2}, {"b", 3}, {"c", 4}}));
    EXPECT_EQ(compiled->policy->services[1].ports[0].protocol, 0);
    EXPECT_EQ(compiled->policy->services[2].ports[0].port, 3478);
}

TEST(Compile, DamagedSlotsAreRefused) {
    const RangeMap map = map_of({service("a", {})});
    for (const ServiceSlots& slots :
         {ServiceSlots{{"x", 0}}, ServiceSlots{{"x", 128}}, ServiceSlots{{"x", 1}, {"y", 1}}})
        EXPECT_FALSE(compile(map, options(), slots));
}

TEST(Compile, NestedRangesListTheMostSpecificServiceFirst) {
    const RangeMap map = map_of({service("wide", {range("10.0.0.0/8"), range("10.1.2.0/24")}),
                                 service("middle", {range("10.1.0.0/16"), range("10.1.0.0/16")}),
                                 service("same", {range("10.1.0.0/16")}), service("host", {range("10.1.2.3")})});
    const auto compiled = compile(map, options());
    ASSERT_TRUE(compiled);
    EXPECT_EQ(compiled->entries4.size(), 4U);
    EXPECT_EQ(candidates(*compiled, "10.9.9.9"), (Candidates{{"wide", 8}}));
    EXPECT_EQ(candidates(*compiled, "10.1.9.9"), (Candidates{{"middle", 16}, {"same", 16}, {"wide", 8}}));
    EXPECT_EQ(candidates(*compiled, "10.1.2.9"), (Candidates{{"wide", 24}, {"middle", 16}, {"same", 16}}));
    EXPECT_EQ(candidates(*compiled, "10.1.2.3"),
              (Candidates{{"host", 32}, {"wide", 24}, {"middle", 16}, {"same", 16}}));
    EXPECT_EQ(candidates(*compiled, "11.0.0.0"), Candidates{});
}

TEST(Compile, FifthServiceOverOneAddressIsRefusedWithItsPath) {
    const RangeMap map = map_of({service("a", {range("10.0.0.0/8")}), service("b", {range("10.0.0.0/8")}),
                                 service("c", {range("10.1.0.0/16")}), service("d", {range("10.1.0.0/16")}),
                                 service("e", {range("10.1.2.0/24")})});
    EXPECT_EQ(error_of(compile(map, options())),
              "at 10.1.2.0/24: 5 services cover 10.1.2.0/24 (a, b, c, d, e); at most 4 may");
}

TEST(Compile, FifthServiceThatIsNotChosenDoesNoHarm) {
    std::vector<Service> services;
    for (const char* name : {"a", "b", "c", "d", "e"})
        services.push_back(service(name, {range("10.0.0.0/8")}, {std::string(name) == "e" ? "eu" : "us"}));
    EXPECT_TRUE(compile(map_of(services), options({"us"})));
    EXPECT_FALSE(compile(map_of(services), options({"us", "eu"})));
}

TEST(Compile, MorePrefixesThanTheLimitAreRefused) {
    RangeMap map = map_of({service("a", {})});
    map.services[0].ranges.assign(KUDO_MAX_PREFIXES, {Prefix::parse("10.0.0.0/8").value(), ""});
    map.services[0].ranges.push_back(range("11.0.0.0/8"));
    EXPECT_EQ(error_of(compile(map, options())), "at 11.0.0.0/8: more than 2097152 ranges in the chosen services");
}

// The processor's time that it takes to compile so many prefixes.
double cost_of(uint32_t count) {
    RangeMap map = map_of({service("a", {}), service("b", {})});
    for (uint32_t i = 0; i < count; ++i) {
        const Address address{
            .family = Family::IPv4,
            .bytes = {static_cast<uint8_t>(i >> 16), static_cast<uint8_t>(i >> 8), static_cast<uint8_t>(i), 0}};
        map.services[i % 2].ranges.push_back({prefix_of(address, i % 256 ? 24 : 16), ""});
    }
    const std::clock_t start = std::clock();
    const auto compiled = compile(map, options());
    const std::clock_t taken = std::clock() - start;
    EXPECT_TRUE(compiled);
    if (compiled) EXPECT_GT(compiled->entries4.size(), count - count / 100);
    return static_cast<double>(taken);
}

TEST(Compile, TheCostOfAMillionPrefixesGrowsWithTheirNumber) {
    EXPECT_LT(cost_of(1000000), 25 * cost_of(100000)); // n log n is 12 times, n * n 100
}

TEST(Compile, EntriesAreSortedAndDistinct) {
    const auto compiled = compile(built_in_range_map(), options({"us"}));
    const auto order = [](const auto& entry) {
        return std::pair(ntohl(entry.first.address), entry.first.prefix_length);
    };
    EXPECT_EQ(std::ranges::adjacent_find(compiled->entries4, std::ranges::greater_equal{}, order),
              compiled->entries4.end());
}

TEST(Compile, EqualInputsGiveEqualBytes) {
    const auto one = compile(built_in_range_map(), options({"us"})),
               two = compile(built_in_range_map(), options({"us"}));
    EXPECT_EQ(std::memcmp(one->policy.get(), two->policy.get(), sizeof(kudo_policy)), 0);
    EXPECT_EQ(std::memcmp(one->entries4.data(), two->entries4.data(), one->entries4.size() * sizeof one->entries4[0]),
              0);
}

TEST(PolicyHash, IgnoresTheGenerationAndNothingElse) {
    auto compiled = compile(built_in_range_map(), options({"us"})).value();
    const auto stored = std::to_array(compiled.policy->content_hash);
    const auto hash = [&] { return policy_hash(compiled); };
    EXPECT_TRUE(std::ranges::equal(hash(), stored));
    compiled.policy->generation = 9;
    EXPECT_TRUE(std::ranges::equal(hash(), stored));
    compiled.policy->mode = KUDO_ENFORCE;
    EXPECT_FALSE(std::ranges::equal(hash(), stored));
    compiled.policy->mode = KUDO_PRIORITISE;
    compiled.entries4.back().second.candidates[0].prefix_length++;
    EXPECT_FALSE(std::ranges::equal(hash(), stored));
    compiled.entries4.back().second.candidates[0].prefix_length--;
    EXPECT_TRUE(std::ranges::equal(hash(), stored));
    compiled.entries4.pop_back();
    EXPECT_FALSE(std::ranges::equal(hash(), stored));
}

TEST(Marks, AreThoseOfRfc8837) {
    const auto marks = default_marks();
    EXPECT_EQ(marks[KUDO_TREATMENT_AUDIO].dscp, 46);
    EXPECT_EQ(marks[KUDO_TREATMENT_VIDEO].dscp, 34);
    EXPECT_EQ(marks[KUDO_TREATMENT_FALLBACK].priority, 6U);
    EXPECT_EQ(marks[KUDO_TREATMENT_CONTROL].dscp, 18);
    EXPECT_EQ(marks[KUDO_TREATMENT_CONTROL].priority, 4U);
}

} // namespace
} // namespace kudo
