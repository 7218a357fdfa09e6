// SPDX-License-Identifier: MIT
// The built-in map against the vendor's figures, the vendor's bare list, and the hash of documents.
// Invariant: each test names one behaviour.
#include <algorithm>
#include <cstring>
#include <set>

#include <gtest/gtest.h>
#include <netinet/in.h>

#include "maps/base/hash.h"
#include "maps/document/built_in.h"
#include "maps/document/parse_range_map.h"
#include "maps/document/range_map.h"
#include "maps/trust/document.h"

namespace kudo {
namespace {

TEST(VendorList, IsRecognisedByItsShape) {
    const auto is_list = [](std::string_view json) { return is_vendor_list(read_json(json).value()); };
    EXPECT_TRUE(is_list(R"({"ipv4": ["1.2.3.0/24"]})"));
    EXPECT_TRUE(is_list(R"({"ipv4": [], "ipv6": ["2001:db8::/32"]})"));
    EXPECT_FALSE(is_list(R"({"ipv6": ["2001:db8::/32"]})"));
    EXPECT_FALSE(is_list(R"({"ipv4": [], "format": "x"})"));
    EXPECT_FALSE(is_list(R"(["ipv4"])"));
    EXPECT_FALSE(is_list(built_in_range_map_json()));
}

Result<RangeMap> with_list(const RangeMap& base, std::string_view json) {
    const auto list = KUDO_TRY(parse_document_text(json, "v.json"));
    return apply_vendor_list(base, std::get<VendorList>(list), "v.json");
}

TEST(Document, IsTheKindThatItsContentSays) {
    EXPECT_TRUE(std::holds_alternative<RangeMap>(parse_document_text(built_in_range_map_json(), "x").value()));
    EXPECT_TRUE(std::holds_alternative<VendorList>(parse_document_text(R"({"ipv4": ["1.2.3.4"]})", "x").value()));
    EXPECT_EQ(parse_document_text(R"({"format": "kudo-key-set/2"})", "x").error().message,
              "x: format: \"kudo-key-set/2\" is not supported; expected \"kudo-key-set/1\"");
    for (const char* text : {R"({"ipv4":[],"format":"x"})", R"({"format":1})", R"(["kudo-key-set/1"])", "{",
                             R"({"format":"kudo-range-map/1","keys":[]})"}) {
        const auto document = parse_document_text(text, "x");
        EXPECT_FALSE(document) << text;
    }
    EXPECT_TRUE(std::holds_alternative<VendorList>(
        parse_document_text(R"({"ipv4": [], "ipv6": ["2001:db8::/32"]})", "x").value()));
    EXPECT_EQ(parse_document_text(R"({"ipv6": []})", "x").error().message,
              parse_range_map(R"({"ipv6": []})", "x").error().message);
}

TEST(VendorList, ReplacesTheMediaRangesOnly) {
    const RangeMap& base = built_in_range_map();
    const auto map = with_list(base, R"({"ipv4": ["1.2.3.0/24"], "ipv6": ["2001:db8::/32"]})");
    ASSERT_TRUE(map) << map.error().message;
    const Service& media = *map->find("media");
    ASSERT_EQ(media.ranges.size(), 2U);
    EXPECT_EQ(media.ranges[0].prefix.text(), "1.2.3.0/24");
    EXPECT_EQ(media.ranges[1].path, "ipv6[0]");
    EXPECT_EQ(media.ports, base.find("media")->ports);
    EXPECT_EQ(map->serial, base.serial);
    EXPECT_EQ(map->find("region-ca")->ranges.size(), 1U);
}

TEST(VendorList, WithAnErrorIsRefusedWhole) {
    const auto error = [](std::string_view json) {
        const auto document = parse_document_text(json, "v.json");
        return document ? "accepted" : document.error().message;
    };
    EXPECT_EQ(error(R"({"ipv4": ["1.2.3.0/24", "1.2.3.4/24"]})"),
              "v.json: ipv4[1]: \"1.2.3.4/24\" has host bits set; write 1.2.3.0/24");
    EXPECT_EQ(error(R"({"ipv4": []})"), "v.json: ipv4: empty; the list would take every media range away");
    EXPECT_EQ(error(R"({"ipv4": "1.2.3.4"})"), "v.json: ipv4: must be an array of strings, is a string");
    EXPECT_EQ(error(R"({"ipv4": ["1.2.3.4"], "ipv4": []})"), "v.json: ipv4: duplicate key in the same object");
    EXPECT_EQ(vendor_list_from(read_json(R"({"ipv4": ["1.2.3.4"], "ipv5": []})").value()).error().message,
              "ipv5: unknown field; expected one of ipv4, ipv6");
}

TEST(BuiltInMap, HoldsTheVendorsFigures) {
    const RangeMap& map = built_in_range_map();
    EXPECT_EQ(map.serial, 2022030100U);
    const Service& media = *map.find("media");
    EXPECT_EQ(media.ranges.size(), 44U);
    EXPECT_EQ(media.ranges.front().prefix.text(), "3.123.12.128/28");
    EXPECT_EQ(media.ranges.back().prefix.text(), "168.100.64.0/18");
    uint64_t sum = 0;
    std::set<uint32_t> addresses;
    std::set<uint32_t> sixteens;
    for (const Range& range : media.ranges) {
        uint32_t first;
        std::memcpy(&first, range.prefix.address.bytes.data(), sizeof first);
        first = ntohl(first);
        sum += 1U << (32 - range.prefix.length);
        for (uint32_t i = 0; i < 1U << (32 - range.prefix.length); ++i)
            addresses.insert(first + i);
        sixteens.insert(first >> 16);
    }
    EXPECT_EQ(sum, 17865U);
    EXPECT_EQ(addresses.size(), 17849U); // 3.7.161.48/28 lies inside another range
    EXPECT_EQ(sixteens.size(), 37U);
}

TEST(BuiltInMap, HasFortyTwoMediaRangesAfterAggregation) {
    std::set<Prefix> prefixes;
    for (const Range& range : built_in_range_map().find("media")->ranges)
        prefixes.insert(range.prefix);
    std::erase_if(prefixes, [&](const Prefix& inner) {
        return std::ranges::any_of(prefixes,
                                   [&](const Prefix& outer) { return outer != inner && outer.contains(inner); });
    });
    for (auto prefix = prefixes.begin(); prefix != prefixes.end();) { // merge halves
        const Prefix parent = prefix_of(prefix->address, prefix->length - 1U);
        const auto next = std::next(prefix);
        if (next != prefixes.end() && next->length == prefix->length && parent.contains(*next)) {
            prefixes.erase(next);
            prefixes.erase(prefix);
            prefixes.insert(parent);
            prefix = prefixes.begin();
        } else {
            prefix = next;
        }
    }
    EXPECT_EQ(prefixes.size(), 42U);
}

TEST(BuiltInMap, HasSevenRegionServersAndAllDomains) {
    const RangeMap& map = built_in_range_map();
    EXPECT_EQ(map.regions(), (std::vector<std::string>{"ca", "cn", "eu", "us"}));
    EXPECT_EQ(map.find("region-us")->ranges.size(), 2U);
    EXPECT_EQ(map.find("region-eu")->ranges.size(), 2U);
    EXPECT_EQ(map.find("region-ca")->ranges.size(), 1U);
    EXPECT_EQ(map.find("region-cn")->ranges.size(), 2U);
    EXPECT_TRUE(map.find("region-cn")->domains.empty());
    std::size_t domains = 0;
    for (const Service& service : map.services)
        domains += service.domains.size();
    EXPECT_EQ(domains, 3U * 4 + 2 + 2);
    EXPECT_TRUE(map.find("teams")->optional);
    EXPECT_EQ(map.find("teams")->ports.size(), 3U);
    EXPECT_EQ(map.find("nobody"), nullptr);
}

TEST(ContentHash, IsBlake2b256InHex) {
    EXPECT_EQ(content_hash(""), "0e5751c026e543b2e8ab2eb06099daa1d1e5df47778f7787faab45cdf12fe3a8");
    EXPECT_NE(content_hash("a"), content_hash("b"));
}

} // namespace
} // namespace kudo
