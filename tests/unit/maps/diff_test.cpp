// SPDX-License-Identifier: MIT
// What changes between two range maps, and which ranges overlap inside one.
// Invariant: each test names one behaviour.
#include <ctime>

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <netinet/in.h>

#include "maps/document/built_in.h"
#include "maps/document/diff.h"
#include "maps/document/overlaps.h"
#include "maps/document/range_map.h"

namespace kudo {
namespace {

RangeMap changed(void (*edit)(RangeMap&)) {
    RangeMap map = built_in_range_map();
    edit(map);
    return map;
}

// "+media range 1.2.3.0/24"
std::vector<std::string> lines(const MapDiff& diff) {
    std::vector<std::string> result;
    for (const auto& [service, what, value, added] : diff.changes)
        result.push_back(fmt::format("{}{} {} {}", added ? '+' : '-', service, what, value));
    return result;
}

using Lines = std::vector<std::string>;

Range range(std::string_view text) {
    return {Prefix::parse(text).value(), ""};
}

TEST(Diff, OfAMapWithItselfIsEmpty) {
    const MapDiff result = diff(built_in_range_map(), built_in_range_map());
    EXPECT_TRUE(result.changes.empty());
    EXPECT_EQ(result.old_serial, 2022030100U);
    EXPECT_EQ(result.new_serial, 2022030100U);
}

TEST(Diff, IgnoresOrderAndRepetition) {
    const RangeMap other = changed([](RangeMap& map) {
        std::reverse(map.services[0].ranges.begin(), map.services[0].ranges.end());
        map.services[0].ranges.push_back(map.services[0].ranges[3]);
        std::swap(map.services[0].ports[0], map.services[0].ports[1]);
        std::swap(map.services[0], map.services[2]);
    });
    EXPECT_EQ(lines(diff(built_in_range_map(), other)), Lines{});
}

TEST(Diff, NamesARangeThatCameAndOneThatWent) {
    const RangeMap other = changed([](RangeMap& map) {
        map.serial++;
        map.services[0].ranges.erase(map.services[0].ranges.begin());
        map.services[0].ranges.push_back(range("2001:db8::/32"));
    });
    const MapDiff result = diff(built_in_range_map(), other);
    EXPECT_EQ(lines(result), (Lines{"-media range 3.123.12.128/28", "+media range 2001:db8::/32"}));
    EXPECT_EQ(result.new_serial, 2022030101U);
}

TEST(Diff, NamesEveryKindOfChange) {
    const RangeMap other = changed([](RangeMap& map) {
        Service& ca = map.services[3];
        ca.class_ = KUDO_CLASS_FALLBACK;
        ca.optional = true;
        ca.regions = {"us"};
        ca.ports = {{IPPROTO_UDP, 443}};
        ca.domains.erase(ca.domains.begin());
    });
    EXPECT_EQ(lines(diff(built_in_range_map(), other)),
              (Lines{"-region-ca class control", "+region-ca class fallback", "-region-ca optional false",
                     "+region-ca optional true", "-region-ca region ca", "+region-ca region us",
                     "-region-ca port tcp/443", "+region-ca port udp/443", "-region-ca domain *.kudoway.ca"}));
}

TEST(Diff, ListsAllThatAnAddedServiceHas) {
    const RangeMap other = changed([](RangeMap& map) {
        map.services.push_back({.name = "relay",
                                .class_ = KUDO_CLASS_MEDIA,
                                .regions = {"eu"},
                                .optional = false,
                                .ports = {{IPPROTO_UDP, 1}},
                                .ranges = {range("1.2.3.4")},
                                .domains = {}});
    });
    const Lines expected{"+relay service relay", "+relay class media", "+relay optional false",
                         "+relay region eu",     "+relay port udp/1",  "+relay range 1.2.3.4/32"};
    EXPECT_EQ(lines(diff(built_in_range_map(), other)), expected);
    EXPECT_EQ(diff(other, built_in_range_map()).changes.size(), expected.size());
    EXPECT_FALSE(diff(other, built_in_range_map()).changes[0].added);
}

TEST(Overlaps, OfTheVendorsListAreFound) {
    const auto overlaps = find_overlaps(built_in_range_map());
    ASSERT_EQ(overlaps.size(), 1U);
    EXPECT_EQ(overlaps[0].inner.prefix.text(), "3.7.161.48/28");
    EXPECT_EQ(overlaps[0].inner.path, "services[0].ipv4[14]");
    EXPECT_EQ(overlaps[0].outer.prefix.text(), "3.7.161.0/26");
}

TEST(Overlaps, NameTheNearestRangeAround) {
    RangeMap map;
    map.services = {{.name = "a",
                     .class_ = KUDO_CLASS_MEDIA,
                     .regions = {},
                     .optional = false,
                     .ports = {},
                     .ranges = {range("10.1.1.0/24"), range("10.0.0.0/8"), range("10.1.0.0/16")},
                     .domains = {}},
                    {.name = "b",
                     .class_ = KUDO_CLASS_MEDIA,
                     .regions = {},
                     .optional = false,
                     .ports = {},
                     .ranges = {range("10.1.0.0/16"), range("10.2.0.0/16"), range("::/0")},
                     .domains = {}}};
    Lines found;
    for (const Overlap& overlap : find_overlaps(map))
        found.push_back(fmt::format("{} {} in {} {}", overlap.inner_service, overlap.inner.prefix.text(),
                                    overlap.outer_service, overlap.outer.prefix.text()));
    EXPECT_EQ(found, (Lines{"a 10.1.1.0/24 in a 10.1.0.0/16", "a 10.1.0.0/16 in a 10.0.0.0/8",
                            "b 10.1.0.0/16 in a 10.1.0.0/16", "b 10.2.0.0/16 in a 10.0.0.0/8"}));
}

TEST(Overlaps, OfAHundredThousandRangesAreFoundInTheTimeOfASort) {
    RangeMap map;
    map.services.resize(1);
    for (uint32_t i = 0; i < 100000; ++i) {
        const Address address{
            .family = Family::IPv4,
            .bytes = {10, static_cast<uint8_t>(i >> 12), static_cast<uint8_t>(i >> 4), static_cast<uint8_t>(i << 4)}};
        map.services[0].ranges.push_back({prefix_of(address, i % 16 ? 28 : 24), ""});
    }
    const std::clock_t start = std::clock();
    EXPECT_EQ(find_overlaps(map).size(), 100000U - 100000U / 16);
    EXPECT_LT(std::clock() - start, 10 * CLOCKS_PER_SEC); // a square would take minutes
}

} // namespace
} // namespace kudo
