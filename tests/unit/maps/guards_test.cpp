// SPDX-License-Identifier: MIT
// What the guards let through and what not, and the arithmetic of intervals behind them, against a naive oracle.
// Invariant: each test names one behaviour; both sides of every limit are tried.
#include <algorithm>
#include <bitset>
#include <chrono>
#include <ctime>
#include <random>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "maps/compile/combine.h"
#include "maps/document/built_in.h"
#include "maps/document/coverage.h"
#include "maps/document/guards.h"
#include "maps/net/special_addresses.h"
#include "tests/unit/maps/compile_samples.h"

namespace kudo {
namespace {

using Lines = std::vector<std::string>;

std::vector<Range> ranges(const std::vector<std::string>& texts) {
    std::vector<Range> result;
    for (const std::string& text : texts)
        result.push_back({Prefix::parse(text).value(), fmt::format("services[0].ipv4[{}]", result.size())});
    return result;
}

RangeMap media(const std::vector<std::string>& texts) {
    return map_of({service("media", ranges(texts))});
}

std::vector<Address> addresses(const std::vector<std::string>& texts) {
    std::vector<Address> result;
    for (const std::string& text : texts)
        result.push_back(Address::parse(text).value());
    return result;
}

const Time long_after = parse_rfc3339("2300-01-01T00:00:00Z").value();

// "shrink services: ..."
Lines violations(const RangeMap& map, const RangeMap& previous = RangeMap(), const std::vector<std::string>& own = {}) {
    Lines result;
    for (const auto& [guard, message] : find_violations(map, previous, addresses(own), long_after))
        result.push_back(fmt::format("{} {}", guard_name(guard), message));
    return result;
}

TEST(Guards, HaveNamesThatAreReadBack) {
    for (const Guard guard :
         {Guard::WidePrefix, Guard::SpecialAddress, Guard::OwnAddress, Guard::Shrink, Guard::SerialLeap})
        EXPECT_EQ(guard_of(guard_name(guard)), guard);
    EXPECT_FALSE(guard_of("Shrink"));
    EXPECT_FALSE(guard_of(""));
}

TEST(Guards, LetTheBuiltInMapThrough) {
    EXPECT_EQ(violations(built_in_range_map(), built_in_range_map(), {"192.168.1.2", "2001:db8::1"}), Lines{});
    EXPECT_EQ(violations(built_in_range_map()), Lines{});
}

TEST(WidePrefix, IsShorterThanEightOrNineteenBits) {
    EXPECT_EQ(violations(media({"8.0.0.0/8", "2400::/19"})), Lines{});
    EXPECT_EQ(violations(media({"12.0.0.0/7", "2400::/18"})),
              (Lines{"wide-prefix services[0].ipv4[0]: 12.0.0.0/7 is wider than /8",
                     "wide-prefix services[0].ipv4[1]: 2400::/18 is wider than /19"}));
}

TEST(SpecialAddress, CountsInsideAndAround) {
    EXPECT_EQ(
        violations(media({"10.0.0.0/8", "10.1.2.0/24", "192.0.0.0/16", "198.19.255.255", "100::7", "2001::/19"})),
        (Lines{
            "special-address services[0].ipv4[0]: 10.0.0.0/8 is private (RFC 1918)",
            "special-address services[0].ipv4[1]: 10.1.2.0/24 is private (RFC 1918)",
            ("special-address services[0].ipv4[2]: 192.0.0.0/16 holds 192.0.0.0/24, which is for IETF protocol "
             "assignments (RFC 6890)"),
            "special-address services[0].ipv4[3]: 198.19.255.255/32 is for benchmarking (RFC 2544)",
            "special-address services[0].ipv4[4]: 100::7/128 is discard-only (RFC 6666)",
            ("special-address services[0].ipv4[5]: 2001::/19 holds 2001::/23, which is for IETF protocol assignments "
             "(RFC 2928)")}));
}

TEST(SpecialAddress, MostSpecificBlockIsNamed) {
    EXPECT_EQ(violations(media({"0.0.0.0", "192.0.0.9", "2001:0:1::/48"})),
              (Lines{"special-address services[0].ipv4[0]: 0.0.0.0/32 is \"this host\" (RFC 1122)",
                     "special-address services[0].ipv4[1]: 192.0.0.9/32 is Port Control Protocol anycast (RFC "
                     "7723)",
                     "special-address services[0].ipv4[2]: 2001:0:1::/48 is Teredo (RFC 4380)"}));
}

TEST(SpecialAddress, EveryBlockCountsWithItsEdgesAndAroundIt) {
    EXPECT_GE(special_blocks().size(), 50U);
    for (const SpecialBlock& block : special_blocks()) {
        const unsigned bits = block.prefix.address.bits();
        EXPECT_EQ(block.prefix, prefix_of(block.prefix.address, block.prefix.length)) << "host bits";
        EXPECT_TRUE(block.rfc.starts_with("RFC ")) << block.prefix.text();
        EXPECT_EQ(special_block_at(block.prefix)->prefix, block.prefix);
        EXPECT_TRUE(special_block_at(prefix_of(block.prefix.address, bits)));
        EXPECT_TRUE(special_block_at(prefix_of(last_of(block.prefix), bits))) << block.prefix.text();
        EXPECT_TRUE(special_block_at(prefix_of(block.prefix.address, block.prefix.length - 1U)));
    }
}

TEST(SpecialAddress, NeighboursOfBlocksAreGood) {
    const std::vector<std::string> good = {
        "1.0.0.0/8",      "9.0.0.0/8",      "11.0.0.0/8",    "100.128.0.0/9",     "126.0.0.0/8",    "128.0.0.0/8",
        "169.253.0.0/16", "169.255.0.0/16", "172.32.0.0/11", "172.0.0.0/12",      "192.0.1.0/24",   "192.0.3.0/24",
        "192.167.0.0/16", "192.169.0.0/16", "198.20.0.0/14", "223.0.0.0/8",       "203.0.114.0/24", "2001:200::/23",
        "2001:db7::/32",  "2001:db9::/32",  "2003::/19",     "2620:4f:8001::/48", "3ffe::/19"};
    for (const std::string& text : good)
        EXPECT_EQ(violations(media({text})), Lines{}) << text;
}

TEST(OwnAddress, IsFoundInARangeAndNotBesideIt) {
    const std::vector<std::string> own{"5.6.8.0", "5.6.7.255", "2400:1::5", "::ffff:9.9.9.9"};
    EXPECT_EQ(violations(media({"5.6.7.0/24", "5.6.6.0/24", "5.6.8.1", "2400:1::/64", "2400:2::/64", "9.9.9.9"}),
                         RangeMap(), own),
              (Lines{"own-address services[0].ipv4[0]: 5.6.7.0/24 holds 5.6.7.255, an address of this host",
                     "own-address services[0].ipv4[3]: 2400:1::/64 holds 2400:1::5, an address of this host",
                     "own-address services[0].ipv4[5]: 9.9.9.9/32 holds 9.9.9.9, an address of this host"}));
}

TEST(Guards, AreAskedInDocumentOrder) {
    EXPECT_EQ(
        violations(media({"5.0.0.0/8", "0.0.0.0/0"}), media({"6.0.0.0/8", "128.0.0.0/8", "2400::/20"}), {"5.6.7.8"}),
        (Lines{"own-address services[0].ipv4[0]: 5.0.0.0/8 holds 5.6.7.8, an address of this host",
               "wide-prefix services[0].ipv4[1]: 0.0.0.0/0 is wider than /8",
               "special-address services[0].ipv4[1]: 0.0.0.0/0 holds 0.0.0.0/8, which is \"this network\" (RFC 791)",
               "own-address services[0].ipv4[1]: 0.0.0.0/0 holds 5.6.7.8, an address of this host",
               ("shrink services: 1 of the 3 ranges of serial 1 would be gone, 2400::/20 of \"media\" first; at "
                "most 30 % are allowed")}));
}

TEST(Guards, AreOffIfTheMapSaysSoAndOnlyThose) {
    RangeMap map = media({"0.0.0.0/0"});
    const RangeMap previous = media({"2400::/20"});
    const Lines all = violations(map, previous, {"5.6.7.8"});
    ASSERT_EQ(all.size(), 4U);
    for (const std::string& line : all) {
        map.overrides = {line.substr(0, line.find(' '))};
        Lines rest = all;
        std::erase(rest, line);
        EXPECT_EQ(violations(map, previous, {"5.6.7.8"}), rest) << line;
    }
    map.overrides = {"own-address", "shrink", "special-address", "wide-prefix"};
    EXPECT_EQ(violations(map, previous, {"5.6.7.8"}), Lines{});
}

TEST(Guards, SayAtMostTenOfEach) {
    std::vector<std::string> texts;
    for (int i = 0; i < 20; ++i)
        texts.push_back(fmt::format("10.{}.0.0/16", i));
    for (int i = 0; i < 20; ++i)
        texts.push_back("64.0.0.0/7");
    const Lines found = violations(media(texts));
    EXPECT_EQ(found.size(), 20U);
    EXPECT_EQ(found[9], "special-address services[0].ipv4[9]: 10.9.0.0/16 is private (RFC 1918)");
    EXPECT_EQ(found[10], "wide-prefix services[0].ipv4[20]: 64.0.0.0/7 is wider than /8");
}

// 1.0.N.0/24 for N in [first, last).
std::vector<std::string> nets(int first, int last) {
    std::vector<std::string> result;
    for (int i = first; i < last; ++i)
        result.push_back(fmt::format("1.0.{}.0/24", i));
    return result;
}

TEST(Shrink, ThirtyPercentMayGoAndNoMore) {
    EXPECT_EQ(violations(media(nets(3, 10)), media(nets(0, 10))), Lines{});
    EXPECT_EQ(violations(media(nets(4, 10)), media(nets(0, 10))),
              (Lines{"shrink services: 4 of the 10 ranges of serial 1 would be gone, 1.0.0.0/24 of \"media\" first; at "
                     "most 30 % are allowed"}));
    EXPECT_EQ(violations(media(nets(31, 101)), media(nets(0, 101))).size(), 1U); // 30.7 %
    EXPECT_EQ(violations(media(nets(30, 101)), media(nets(0, 101))), Lines{});   // 29.7 %
}

TEST(Shrink, AggregationAndSplittingAreNoLoss) {
    EXPECT_EQ(violations(media({"1.0.0.0/20"}), media(nets(0, 16))), Lines{});
    EXPECT_EQ(violations(media(nets(0, 16)), media({"1.0.0.0/20"})), Lines{});
    EXPECT_EQ(violations(media(nets(0, 15)), media({"1.0.0.0/20"})).size(), 1U);
}

TEST(Shrink, RangeThatIsPartlyThereIsGone) {
    EXPECT_EQ(violations(media({"1.0.0.0/25"}), media({"1.0.0.0/24"})).size(), 1U);
}

TEST(Shrink, RangeThatMovesToAnotherServiceIsGone) {
    const RangeMap before = map_of({service("media", ranges(nets(0, 5))), service("control", ranges(nets(5, 10)))});
    const RangeMap moved = map_of({service("media", ranges(nets(0, 1))), service("control", ranges(nets(1, 10)))});
    EXPECT_EQ(violations(moved, before).size(), 1U);
    const RangeMap without = map_of({service("media", ranges(nets(0, 10)))});
    EXPECT_EQ(violations(without, before).size(), 1U);
}

TEST(Shrink, ServicesAreCountedTogetherAndRepeatedRangesOnce) {
    // 3 of 10 distinct ranges go; all of them are of one service, and one that goes stands there five times.
    std::vector<std::string> few = nets(7, 10);
    few.insert(few.end(), 4, "1.0.7.0/24");
    const RangeMap before = map_of({service("media", ranges(nets(0, 7))), service("control", ranges(few))});
    const RangeMap after = map_of({service("media", ranges(nets(0, 7)))});
    EXPECT_EQ(violations(after, before), Lines{});
    EXPECT_EQ(violations(map_of({service("media", ranges(nets(0, 6)))}), before).size(), 1U);
}

TEST(Shrink, NothingCanGoFromNothing) {
    EXPECT_EQ(violations(media({"1.0.0.0/24"}), RangeMap()), Lines{});
    EXPECT_EQ(violations(media({}), media({})), Lines{});
}

bool leaps(uint64_t serial, uint64_t highest, const char* issued = "2022-04-02T10:00:00Z",
           const char* now = "2300-01-01T00:00:00Z", const char* previous_issued = "2022-03-01T00:00:00Z") {
    RangeMap map = media({"1.0.0.0/24"}), previous;
    map.serial = serial;
    map.issued = parse_rfc3339(issued).value();
    previous.issued = parse_rfc3339(previous_issued).value();
    const auto found = find_violations(map, previous, {}, parse_rfc3339(now).value(), highest);
    return found.size() == 1 && found[0].guard == Guard::SerialLeap;
}

TEST(SerialLeap, ADatedSerialIsFollowedByOneThatIsAtMostTwoYearsAheadOfItsIssue) {
    EXPECT_TRUE(leaps(20220402000, 2022030100)) << "a digit too many";
    EXPECT_FALSE(leaps(2022040200, 2022030100));
    EXPECT_FALSE(leaps(2022033200, 2022033199)) << "the hundredth map of a day";
    EXPECT_FALSE(leaps(2024040299, 2022030100)) << "two years";
    EXPECT_TRUE(leaps(2024040300, 2022030100));
    EXPECT_TRUE(leaps(2202040200, 2022030100)) << "a slip in the year";
    EXPECT_FALSE(leaps(2202040200, 2022030100, "2202-04-02T10:00:00Z")) << "issued then";
    EXPECT_FALSE(leaps(7, 2022030100)) << "lower ones are refused as such";
}

TEST(SerialLeap, AnIssueThatIsYetToComeExcusesNone) {
    const char *issued = "2106-03-01T00:00:00Z", *now = "2026-11-28T12:00:00Z";
    EXPECT_TRUE(leaps(2106030100, 2022030100, issued, now)) << "a slip in the year, in both";
    EXPECT_FALSE(leaps(2028112899, 2022030100, issued, now)) << "two years from now";
    EXPECT_TRUE(leaps(2028112900, 2022030100, issued, now));
    EXPECT_FALSE(leaps(2106030101, 2106030100, issued, now, issued)) << "who has leapt goes on";
}

TEST(SerialLeap, AClockThatIsWrongLocksNothingOut) {
    const char* issued = "2026-11-28T10:00:00Z";
    EXPECT_FALSE(leaps(2026112800, 2022030100, issued, "1970-01-01T00:00:09Z")) << "it was never set";
    EXPECT_TRUE(leaps(2029112800, 2022030100, issued, "1970-01-01T00:00:09Z"));
    EXPECT_FALSE(leaps(2026112800, 2026112700, issued, "2023-01-01T00:00:00Z", "2026-11-27T10:00:00Z"))
        << "it was set back";
    EXPECT_FALSE(leaps(2026112800, 2022030100, issued, "2106-03-01T00:00:00Z")) << "it is ahead";
}

TEST(SerialLeap, AnyOtherSerialIsFollowedByOneThatIsAtMostTenTimesAsHigh) {
    EXPECT_FALSE(leaps(70, 7));
    EXPECT_TRUE(leaps(71, 7));
    EXPECT_FALSE(leaps(20220402001, 20220402000)) << "who has leapt goes on";
    EXPECT_TRUE(leaps(202204020000, 20220402000 / 2));
    EXPECT_FALSE(leaps(4, 0)) << "there is nothing before";
}

TEST(SerialLeap, NearTheLastSerialIsAlwaysOne) {
    constexpr uint64_t last = INT64_MAX;
    EXPECT_TRUE(leaps(last, 0));
    EXPECT_TRUE(leaps(last, last));
    EXPECT_TRUE(leaps(last, last / 3));
    EXPECT_TRUE(leaps(last - 10, 2022030100));
    EXPECT_FALSE(leaps(last / 2, last / 3));
}

TEST(SerialLeap, IsOffIfTheMapSaysSo) {
    RangeMap map = media({"1.0.0.0/24"});
    map.serial = INT64_MAX;
    map.overrides = {"serial-leap"};
    EXPECT_TRUE(find_violations(map, RangeMap(), {}, long_after).empty());
}

TEST(Guards, AreToldTogetherWithTheOverrideThatEachOfThemNeeds) {
    const auto found = find_violations(media({"10.0.0.0/8", "2.0.0.0/7", "172.16.0.0/12"}), RangeMap(), {}, long_after);
    EXPECT_EQ(
        violations_text("x.json", found, found.size()),
        "x.json: services[0].ipv4[0]: 10.0.0.0/8 is private (RFC 1918); services[0].ipv4[1]: 2.0.0.0/7 is wider "
        "than /8; services[0].ipv4[2]: 172.16.0.0/12 is private (RFC 1918); if that is intended, its signer writes "
        "\"overrides\": [\"special-address\", \"wide-prefix\"] into the map; --override is your own decision");
    EXPECT_TRUE(
        violations_text("x.json", found, 1)
            .starts_with(
                "x.json: services[0].ipv4[0]: 10.0.0.0/8 is private (RFC 1918) (and 2 more); if that is intended"));
}

TEST(Guards, OfAHundredThousandRangesAreAskedInTheTimeOfASort) {
    RangeMap map = media({}), previous = media({});
    for (uint32_t i = 0; i < 100000; ++i) {
        const Address address{
            .family = Family::IPv4,
            .bytes = {64, static_cast<uint8_t>(i >> 12), static_cast<uint8_t>(i >> 4), static_cast<uint8_t>(i << 4)}};
        map.services[0].ranges.push_back({prefix_of(address, 28), ""});
        previous.services[0].ranges.push_back({prefix_of(address, 29), ""});
    }
    const std::clock_t start = std::clock();
    EXPECT_TRUE(find_violations(map, previous, addresses({"5.6.7.8"}), long_after).empty());
    EXPECT_EQ(find_violations(previous, map, addresses({"5.6.7.8"}), long_after).size(), 1U); // half of every range
    const std::clock_t took = std::clock() - start;
    RecordProperty("milliseconds", static_cast<int>(took * 1000 / CLOCKS_PER_SEC));
    EXPECT_LT(took, 10 * CLOCKS_PER_SEC); // a square would take minutes
}

// A universe of the 256 last addresses of a prefix.
using Universe = std::bitset<256>;

struct Corner {
    const char* description;
    Family family;
    uint8_t filler; // of all bytes but the last
};

class CoverageAgainstTheOracle : public testing::TestWithParam<Corner> {
protected:
    Range random_range(unsigned shortest) {
        Address address{.family = GetParam().family};
        std::fill_n(address.bytes.begin(), address.bits() / 8, GetParam().filler);
        const unsigned length = address.bits() - 8 + shortest + static_cast<unsigned>(random_() % (9 - shortest));
        address.bytes[address.bits() / 8 - 1] = static_cast<uint8_t>(random_());
        return {prefix_of(address, length), std::to_string(random_() % 1000)};
    }
    std::vector<Range> random_ranges(std::size_t most, unsigned shortest) {
        std::vector<Range> result(random_() % (most + 1));
        std::ranges::generate(result, [&] { return random_range(shortest); });
        return result;
    }
    static Universe members(const std::vector<Range>& list) {
        Universe result;
        for (const Range& range : list) {
            const std::size_t first = range.prefix.address.bytes[range.prefix.address.bits() / 8 - 1];
            for (std::size_t i = 0; i < std::size_t{1} << (range.prefix.address.bits() - range.prefix.length); ++i)
                result.set(first + i);
        }
        return result;
    }
    std::mt19937 random_{20220301};
};

TEST_P(CoverageAgainstTheOracle, UncoveredRangesAreTheSame) {
    unsigned kept = 0, dropped = 0;
    for (int round = 0; round < 3000; ++round) {
        const std::vector<Range> cover = random_ranges(40, 2), list = random_ranges(12, 0);
        const Universe covered = members(cover);
        Lines expected, got;
        for (const Range& range : list) {
            if ((members({range}) & ~covered).any()) expected.push_back(range.prefix.text() + " " + range.path);
        }
        for (const Range& range : uncovered(list, cover))
            got.push_back(range.prefix.text() + " " + range.path);
        ASSERT_EQ(got, expected);
        kept += static_cast<unsigned>(got.size());
        dropped += static_cast<unsigned>(list.size() - got.size());
    }
    EXPECT_GT(kept, 1000U);
    EXPECT_GT(dropped, 1000U);
}

INSTANTIATE_TEST_SUITE_P(Corners, CoverageAgainstTheOracle,
                         testing::Values(Corner{"FirstOfIPv4", Family::IPv4, 0}, Corner{"InIPv4", Family::IPv4, 77},
                                         Corner{"LastOfIPv4", Family::IPv4, 255},
                                         Corner{"FirstOfIPv6", Family::IPv6, 0},
                                         Corner{"LastOfIPv6", Family::IPv6, 255}),
                         [](const auto& corner) { return std::string(corner.param.description); });

TEST(Coverage, FamiliesDoNotTouch) {
    EXPECT_FALSE(Coverage(ranges({"255.255.255.255"})).holds(Prefix::parse("::/128").value()));
    EXPECT_FALSE(Coverage(ranges({"0.0.0.0/0"})).holds(Prefix::parse("::/8").value()));
    EXPECT_FALSE(Coverage(ranges({"::/0"})).holds(Prefix::parse("1.2.3.4").value()));
    EXPECT_TRUE(
        Coverage(ranges({"0.0.0.0/1", "128.0.0.0/1", "::/1", "8000::/1"})).holds(Prefix::parse("0.0.0.0/0").value()));
    EXPECT_TRUE(
        Coverage(ranges({"0.0.0.0/1", "128.0.0.0/1", "::/1", "8000::/1"})).holds(Prefix::parse("::/0").value()));
}

TEST(Coverage, NeighboursAcrossByteBordersJoin) {
    EXPECT_TRUE(
        Coverage(ranges({"1.1.255.0/24", "1.2.0.0/16", "1.0.0.0/16", "1.1.0.0/17", "1.1.128.0/18", "1.1.192.0/19",
                         "1.1.224.0/20", "1.1.240.0/21", "1.1.248.0/22", "1.1.252.0/23", "1.1.254.0/24", "1.3.0.0/16"}))
            .holds(Prefix::parse("1.0.0.0/14").value()));
}

} // namespace
} // namespace kudo
