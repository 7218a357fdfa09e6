// SPDX-License-Identifier: MIT
// IPv4 behind NAT64 prefixes: RFC 6052's own examples, prefixes of every length, and what a policy makes of them.
// Invariant: each test names one behaviour.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include "maps/compile/compile.h"
#include "maps/document/built_in.h"
#include "maps/net/nat64.h"
#include "tests/unit/maps/compile_samples.h"

namespace kudo {
namespace {

Prefix prefix(std::string_view text) {
    return Prefix::parse(text).value();
}
Address address(std::string_view text) {
    return Address::parse(text).value();
}

struct Example {
    const char *nat64, *ipv6;
};
constexpr Example rfc6052_section_2_4[] = {
    {"2001:db8::/32", "2001:db8:c000:221::"},
    {"2001:db8:100::/40", "2001:db8:1c0:2:21::"},
    {"2001:db8:122::/48", "2001:db8:122:c000:2:2100::"},
    {"2001:db8:122:300::/56", "2001:db8:122:3c0:0:221::"},
    {"2001:db8:122:344::/64", "2001:db8:122:344:c0:2:2100::"},
    {"2001:db8:122:344::/96", "2001:db8:122:344::c000:221"},
    {"64:ff9b::/96", "64:ff9b::c000:221"},
};

TEST(Nat64, EmbedsAndExtractsAsTheExamplesOfTheRfc) {
    for (const auto& [nat64, ipv6] : rfc6052_section_2_4) {
        const Prefix behind = parse_nat64_prefix(nat64).value();
        EXPECT_EQ(embed(behind, prefix("192.0.2.33")).address, address(ipv6)) << nat64;
        const auto back = extract(address(ipv6), std::span(&behind, 1));
        ASSERT_TRUE(back) << nat64;
        EXPECT_EQ(back->text(), "192.0.2.33") << nat64;
    }
}

TEST(Nat64, ARangeOfAnyLengthIsOneRangeBehindEachPrefix) {
    for (const auto& [nat64, ipv6] : rfc6052_section_2_4) {
        const Prefix behind = prefix(nat64);
        for (unsigned length = 0; length <= 32; length++) {
            const Prefix ipv4 = prefix_of(address("203.77.211.169"), length);
            const Prefix embedded = embed(behind, ipv4);
            EXPECT_EQ(prefix_of(embedded.address, embedded.length), embedded) << "host bits";
            EXPECT_EQ(extract(embedded, std::span(&behind, 1)), ipv4) << embedded.text();
            EXPECT_TRUE(embedded.contains(embed(behind, prefix("203.77.211.169")))) << embedded.text();
            if (length == 0) continue;
            Address other = ipv4.address; // the first that differs in the last bit of the prefix
            other.bytes[(length - 1) / 8] ^= static_cast<uint8_t>(0x80 >> (length - 1) % 8);
            EXPECT_FALSE(embedded.contains(embed(behind, {.address = other, .length = 32}))) << embedded.text();
        }
    }
}

TEST(Nat64, OutsideThePrefixOrWithBits64To71SetThereIsNoIPv4) {
    const Prefix known[] = {prefix("64:ff9b::/96"), prefix("2001:db8:122::/48")};
    EXPECT_EQ(extract(address("64:ff9b:0:0:0:1:c000:221"), known), std::nullopt);
    EXPECT_EQ(extract(address("2001:db8:122:c000:102:2100::"), known), std::nullopt);
    EXPECT_EQ(extract(address("192.0.2.33"), known), std::nullopt);
    EXPECT_EQ(extract(address("2001:db8:122:c000:2:2100::1"), known)->text(), "192.0.2.33"); // the suffix is ignored
}

TEST(Nat64, APrefixThatTheRfcDoesNotHaveIsRefusedWithTheReason) {
    for (const auto& [text, reason] : {std::pair("2001:db8::/33", "32, 40, 48, 56, 64 or 96"),
                                       {"2001:db8::/72", "32, 40, 48, 56, 64 or 96"},
                                       {"2001:db8::", "32, 40, 48, 56, 64 or 96"},
                                       {"192.0.2.0/24", "32, 40, 48, 56, 64 or 96"},
                                       {"::/0", "32, 40, 48, 56, 64 or 96"},
                                       {"2001:db8:0:0:100::/96", "bits 64 to 71"},
                                       {"2001:db8::1/96", "host bits"},
                                       {"ff0e::/96", "multicast"},
                                       {"fe80::/64", "link-local"},
                                       {"nonsense/96", "not an IP address"}}) {
        const auto parsed = parse_nat64_prefix(text);
        ASSERT_FALSE(parsed) << text;
        EXPECT_EQ(parsed.error().kind, ErrorKind::BadInput);
        EXPECT_NE(parsed.error().message.find(reason), std::string::npos) << parsed.error().message;
    }
}

RangeMap map_with(std::vector<std::string_view> ranges) {
    RangeMap map = built_in_range_map();
    map.services.resize(1);
    map.services[0].ranges.clear();
    for (const std::string_view range : ranges)
        map.services[0].ranges.push_back({prefix(range), fmt::format("at {}", range)});
    return map;
}

CompileOptions behind(std::vector<std::string_view> prefixes) {
    CompileOptions chosen = options({});
    for (const std::string_view text : prefixes)
        chosen.nat64.push_back(parse_nat64_prefix(text).value());
    return chosen;
}

TEST(Nat64, EachIPv4RangeIsFoundBehindEveryPrefixAndIsNoIPv6Range) {
    const auto chosen = behind({"2001:db8:122::/48", "64:ff9b::/96"});
    const auto compiled = compile(map_with({"192.0.2.0/24", "2001:db8:77::/48"}), chosen);
    ASSERT_TRUE(compiled) << compiled.error().message;
    EXPECT_EQ(compiled->entries6.size(), 3U);
    EXPECT_EQ(count_nat64(*compiled, chosen), 2U);
    const kudo_match* direct = longest_match(*compiled, address("192.0.2.33"));
    ASSERT_TRUE(direct);
    for (const char* embedded : {"64:ff9b::c000:221", "2001:db8:122:c000:2:2100::"}) {
        const kudo_match* match = longest_match(*compiled, address(embedded));
        ASSERT_TRUE(match) << embedded;
        EXPECT_EQ(match->candidates[0].service, direct->candidates[0].service) << embedded;
    }
    EXPECT_FALSE(longest_match(*compiled, address("64:ff9b::c000:321")));
}

TEST(Nat64, ALongerIPv6RangeOfTheMapDecidesAndAShorterDoesNot) {
    RangeMap map = map_with({"192.0.2.0/24"});
    map.services.push_back(map.services[0]);
    map.services[1].name = "other";
    map.services[1].ranges = {{prefix("64:ff9b::c000:221/128"), "longer"}, {prefix("64:ff9b::c000:0/104"), "shorter"}};
    const auto compiled = compile(map, behind({}));
    ASSERT_TRUE(compiled) << compiled.error().message;
    const auto first = [&](const char* text) { return longest_match(*compiled, address(text))->candidates[0].service; };
    EXPECT_EQ(first("64:ff9b::c000:221"), compiled->slots.at("other"));
    EXPECT_EQ(first("64:ff9b::c000:222"), compiled->slots.at("media"));
}

TEST(Nat64, APrefixOverARangeOfTheMapIsRefusedWithBothNames) {
    const auto map = map_with({"192.0.2.0/24", "2001:db8:77::/48"});
    for (const char* text : {"2001:db8::/32", "2001:db8:77:1::/64", "2001:db8:77::/48"}) {
        const auto compiled = compile(map, behind({text}));
        ASSERT_FALSE(compiled) << text;
        EXPECT_EQ(compiled.error().kind, ErrorKind::BadInput);
        for (const char* word : {"--nat64", text, "2001:db8:77::/48", "media"})
            EXPECT_NE(compiled.error().message.find(word), std::string::npos) << compiled.error().message;
    }
}

} // namespace
} // namespace kudo
