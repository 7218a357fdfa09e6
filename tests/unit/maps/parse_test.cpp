// SPDX-License-Identifier: MIT
// Reading and writing range maps: which documents are refused, with which words; writing is the inverse of reading.
// Invariant: each test names one behaviour; broken documents differ from a good one by one edit.
#include <gtest/gtest.h>
#include <netinet/in.h>

#include "maps/document/built_in.h"
#include "maps/document/diff.h"
#include "maps/document/parse_range_map.h"
#include "maps/document/range_map.h"
#include "maps/document/write_range_map.h"

namespace kudo {
namespace {

constexpr std::string_view good = R"({
  "format": "kudo-range-map/1", "serial": 7,
  "issued": "2022-03-01T00:00:00Z", "effective": "2022-03-02T00:00:00Z", "expires": null,
  "services": [
    {"name": "media", "class": "media", "regions": ["*"],
     "ports": ["udp/3478", "tcp/443"], "ipv4": ["10.0.0.0/24"], "ipv6": ["2001:db8::/32"]},
    {"name": "region-ca", "class": "control", "regions": ["ca"],
     "ports": ["tcp/443"], "ipv4": ["3.97.146.187"], "domains": ["*.kudoway.ca"]}
  ]
})";

// The good document with the first `from` replaced by `to`.
std::string edited(std::string_view from, std::string_view to) {
    std::string text(good);
    const std::size_t at = text.find(from);
    EXPECT_NE(at, std::string::npos) << from;
    return text.replace(at, from.size(), to);
}

std::string error_of(std::string_view json) {
    const auto map = parse_range_map(json, "x.json");
    if (map) return "accepted";
    EXPECT_EQ(map.error().kind, ErrorKind::BadInput);
    return map.error().message;
}

TEST(Parse, GoodDocumentIsReadWhole) {
    const auto map = parse_range_map(good, "x.json");
    ASSERT_TRUE(map) << map.error().message;
    EXPECT_EQ(map->serial, 7U);
    EXPECT_EQ(rfc3339(map->effective), "2022-03-02T00:00:00Z");
    EXPECT_FALSE(map->expires);
    ASSERT_EQ(map->services.size(), 2U);
    const Service& media = map->services[0];
    EXPECT_EQ(media.class_, KUDO_CLASS_MEDIA);
    EXPECT_EQ(media.ports, (std::vector<PortRule>{{IPPROTO_UDP, 3478}, {IPPROTO_TCP, 443}}));
    ASSERT_EQ(media.ranges.size(), 2U);
    EXPECT_EQ(media.ranges[1].prefix.text(), "2001:db8::/32");
    EXPECT_EQ(media.ranges[1].path, "services[0].ipv6[0]");
    EXPECT_EQ(map->services[1].domains, std::vector<std::string>{"*.kudoway.ca"});
}

struct Broken {
    const char* from;
    const char* to;
    const char* error; // must occur in the message
};

TEST(Parse, BrokenDocumentIsRefusedWithThePlaceAndTheReason) {
    const Broken table[] = {
        {"\"serial\": 7,", "", "x.json: serial: missing"},
        {"\"name\": \"media\", ", "", "x.json: services[0].name: missing"},
        {"\"ports\": [\"tcp/443\"], ", "", "x.json: services[1].ports: missing"},
        {"map/1", "map/2", "x.json: format: \"kudo-range-map/2\" is not supported; expected \"kudo-range-map/1\""},
        {"\"kudo-range-map/1\"", "1", "x.json: format: must be a string, is a number"},
        {": 7", ": 0", "x.json: serial: must be a whole number from 1 to 9223372036854775807"},
        {": 7", ": -7", "x.json: serial: must be a whole number from 1"},
        {": 7", ": 7.0", "x.json: serial: must be a whole number from 1"},
        {": 7", ": 7e3", "x.json: serial: must be a whole number from 1"},
        {": 7", ": 9223372036854775808", "x.json: serial: must be a whole number from 1"},
        {": 7", ": 99999999999999999999", "x.json: serial: must be a whole number from 1"},
        {": 7", ": \"7\"", "x.json: serial: must be a whole number, is a string"},
        {": 7", ": true", "x.json: serial: must be a whole number, is true or false"},
        {"2022-03-01T00:00:00Z", "2022-03-01", "x.json: issued: \"2022-03-01\" is not a time in UTC; write it like"},
        {"2022-03-01T00:00:00Z", "2022-02-29T00:00:00Z", "x.json: issued: \"2022-02-29T00:00:00Z\" is not a time"},
        {"2022-03-01T00:00:00Z", "2022-03-01T00:00:00+00:00", "x.json: issued: "},
        {"2022-03-01T00:00:00Z", "2022-03-01T24:00:00Z", "x.json: issued: "},
        {"2022-03-01T00:00:00Z", "2022-03-01T00:00:00.5Z", "x.json: issued: "},
        {"\"2022-03-01T00:00:00Z\"", "1646092800", "x.json: issued: must be a string, is a number"},
        {"2022-03-02", "2022-02-28",
         "x.json: effective: 2022-02-28T00:00:00Z is before the map was issued, 2022-03-01"},
        {"\"expires\": null", "\"expires\": \"2022-03-02T00:00:00Z\"",
         "x.json: expires: 2022-03-02T00:00:00Z is not after"},
        {"\"expires\": null", "\"expires\": false", "x.json: expires: must be a string, is true or false"},
        {"\"services\"", "\"audience\": \"Acme\", \"services\"",
         "x.json: audience: \"Acme\" is not an audience; write FLEET or FLEET/RING, each 1 to 63 of a-z, 0-9 and -"},
        {"\"services\"", "\"audience\": \"acme/\", \"services\"", "x.json: audience: \"acme/\" is not an audience"},
        {"\"services\"", "\"audience\": \"/canary\", \"services\"", "x.json: audience: "},
        {"\"services\"", "\"audience\": \"acme/canary/x\", \"services\"", "x.json: audience: "},
        {"\"services\"", "\"audience\": \"\", \"services\"", "x.json: audience: \"\" is not an audience"},
        {"\"services\"", "\"audience\": null, \"services\"", "x.json: audience: must be a string, is null"},
        {"\"services\"", "\"overrides\": [\"shrinks\"], \"services\"",
         "x.json: overrides[0]: \"shrinks\" is not a guard; expected wide-prefix, special-address, own-address, "
         "shrink or serial-leap"},
        {"\"services\"", "\"overrides\": [\"shrink\", \"shrink\"], \"services\"",
         "x.json: overrides[1]: \"shrink\" is a duplicate; it is at overrides[0]"},
        {"\"services\"", "\"overrides\": \"shrink\", \"services\"",
         "x.json: overrides: must be an array of strings, is a string"},
        {"\"services\"", "\"supersedes\": 7, \"services\"",
         "x.json: supersedes: 7 is not lower than the map's own serial, 7"},
        {"\"services\"", "\"supersedes\": 0, \"services\"", "x.json: supersedes: must be a whole number from 1"},
        {"\"services\"", "\"supersedes\": \"6\", \"services\"",
         "x.json: supersedes: must be a whole number, is a string"},
        {"\"serial\"", "\"colour\": 1, \"serial\"", "x.json: colour: unknown field; expected one of format, serial"},
        {"\"class\": \"control\"", "\"class\": \"control\", \"colour\": 1",
         "x.json: services[1].colour: unknown field; expected one of name, class, regions, optional, ports"},
        {"\"serial\": 7", "\"serial\": 7, \"serial\": 8", "x.json: serial: duplicate key in the same object"},
        {"\"regions\": [\"ca\"]", "\"regions\": [\"ca\"], \"name\": \"y\"",
         "x.json: services[1].name: duplicate key in the same object"},
        {"\"region-ca\"", "\"media\"", "x.json: services[1].name: \"media\" is a duplicate; services[0] has that name"},
        {"\"region-ca\"", "\"Region\"", "x.json: services[1].name: \"Region\" is not a service name"},
        {"\"region-ca\"", "\"9ca\"", "x.json: services[1].name: \"9ca\" is not a service name"},
        {"\"region-ca\"", "\"\"", "x.json: services[1].name: \"\" is not a service name"},
        {"\"region-ca\"", "\"a123456789012345678901234567890123456789012345678901234567890123\"",
         "x.json: services[1].name: "},
        {"\"class\": \"control\"", "\"class\": \"none\"",
         "x.json: services[1].class: \"none\" is not a class; expected media"},
        {"[\"ca\"]", "[]", "x.json: services[1].regions: empty"},
        {"[\"ca\"]", "\"ca\"", "x.json: services[1].regions: must be an array of strings, is a string"},
        {"[\"ca\"]", "[\"CA\"]", "x.json: services[1].regions[0]: \"CA\" is not a region"},
        {"[\"ca\"]", "[\"ca\", \"*\"]",
         "x.json: services[1].regions[1]: \"*\" means every region and must be the only entry"},
        {"[\"ca\"]", "[\"ca\", \"ca\"]", "x.json: services[1].regions[1]: \"ca\" is a duplicate"},
        {"[\"ca\"]", "[\"ca\", null]", "x.json: services[1].regions[1]: must be a string, is null"},
        {"[\"ca\"]", "[\"ca\"], \"optional\": 1", "x.json: services[1].optional: must be true or false, is a number"},
        {"udp/3478", "udp/0", "x.json: services[0].ports[0]: \"udp/0\" is not a port; write udp/N or tcp/N"},
        {"udp/3478", "udp/65536", "x.json: services[0].ports[0]: \"udp/65536\" is not a port"},
        {"udp/3478", "udp/", "x.json: services[0].ports[0]: "},
        {"udp/3478", "udp/03478", "x.json: services[0].ports[0]: "},
        {"udp/3478", "udp/+1", "x.json: services[0].ports[0]: "},
        {"udp/3478", "UDP/3478", "x.json: services[0].ports[0]: "},
        {"udp/3478", "3478", "x.json: services[0].ports[0]: "},
        {"udp/3478", "sctp/1", "x.json: services[0].ports[0]: "},
        {"udp/3478", "tcp/443",
         "x.json: services[0].ports[1]: \"tcp/443\" is a duplicate; it is at services[0].ports[0]"},
        {"\"udp/3478\"", "3478", "x.json: services[0].ports[0]: must be a string, is a number"},
        {"[\"udp/3478\", \"tcp/443\"]", "[]", "x.json: services[0].ports: empty"},
        {"\"udp/3478\"", R"("udp/1","udp/2","udp/3","udp/4","udp/5","udp/6","udp/7","udp/8")",
         "x.json: services[0].ports: 9 are too many; a service has at most 8 ports"},
        {"10.0.0.0/24", "10.0.0.9/24",
         "x.json: services[0].ipv4[0]: \"10.0.0.9/24\" has host bits set; write 10.0.0.0/24"},
        {"10.0.0.0/24", "010.0.0.1", "x.json: services[0].ipv4[0]: \"010.0.0.1\" has a number with a leading zero"},
        {"10.0.0.0/24", "10.0.0.0/33", "x.json: services[0].ipv4[0]: \"10.0.0.0/33\" has a bad prefix length"},
        {"10.0.0.0/24", "2001:db8::/32",
         "x.json: services[0].ipv4[0]: \"2001:db8::/32\" is IPv6; put it into \"ipv6\""},
        {"2001:db8::/32", "10.0.0.0/8", "x.json: services[0].ipv6[0]: \"10.0.0.0/8\" is IPv4; put it into \"ipv4\""},
        {"2001:db8::/32", "::ffff:1.2.3.4", "x.json: services[0].ipv6[0]: \"::ffff:1.2.3.4\" is an IPv4-mapped"},
        {"2001:db8::/32", "fe80::1%eth0", "x.json: services[0].ipv6[0]: \"fe80::1%eth0\" has a zone id"},
        {"[\"10.0.0.0/24\"]", "null", "x.json: services[0].ipv4: must be an array of strings, is null"},
        {"*.kudoway.ca", "*.Kudoway.ca",
         "x.json: services[1].domains[0]: \"*.Kudoway.ca\" is not a domain: write it in lower"},
        {"*.kudoway.ca", "live.*.ca", "x.json: services[1].domains[0]: \"live.*.ca\" is not a domain: a wildcard"},
        {"*.kudoway.ca", "*", "x.json: services[1].domains[0]: "},
        {"*.kudoway.ca", "*.ca", "x.json: services[1].domains[0]: "},
        {"*.kudoway.ca", "-a.ca", "x.json: services[1].domains[0]: "},
        {"*.kudoway.ca", "a..ca", "x.json: services[1].domains[0]: "},
        {"*.kudoway.ca", "kudoway.ca.", "x.json: services[1].domains[0]: "},
        {"*.kudoway.ca", "1.2.3.4", "x.json: services[1].domains[0]: \"1.2.3.4\" is not a domain: its last label"},
        {"*.kudoway.ca", "https://live.kudoway.ca", "x.json: services[1].domains[0]: "},
        {", \"ipv4\": [\"3.97.146.187\"], \"domains\": [\"*.kudoway.ca\"]", "",
         "x.json: services[1]: has neither ranges nor domains"},
        {"\"services\": [", "\"services\": [7, ", "x.json: services[0]: must be an object, is a number"},
        {"\"serial\": 7,", "\"serial\": 7", "x.json: line 3, column 10 (byte 56): syntax error while parsing object"},
        {"\"serial\": 7,", "\"serial\": 7, // seven", "x.json: line 2, column "},
        {"\"serial\": 7,", "\"serial\": 1e999,", "x.json: line 2, column "},
        {"region-ca", "region-\xff", "x.json: line 7, column "},
        {"  ]\n}", "  ]\n} {}", "x.json: line 10, column 3 (byte "},
        {"  ]\n}", "  ]", "unexpected end of input"},
        {"\"expires\": null", "\"expires\": [[[[[[[[[[]]]]]]]]]]",
         "x.json: expires[0][0][0][0][0][0][0]: nested more than 8"},
    };
    static_assert(std::size(table) >= 25);
    for (const Broken& broken : table) {
        const std::string message = error_of(edited(broken.from, broken.to));
        EXPECT_NE(message.find(broken.error), std::string::npos)
            << "replaced " << broken.from << " by " << broken.to << "\nwanted " << broken.error << "\ngot    "
            << message;
    }
}

TEST(Parse, UnknownFieldIsRefusedWithItsPath) {
    EXPECT_EQ(error_of(edited("\"class\": \"control\"", "\"colour\": 1, \"class\": \"control\"")),
              "x.json: services[1].colour: unknown field; expected one of name, class, regions, optional, ports, ipv4, "
              "ipv6, domains");
}

TEST(Parse, RootThatIsNoObjectIsRefused) {
    EXPECT_EQ(error_of("[]"), "x.json: must be an object, is an array");
    EXPECT_EQ(error_of("null"), "x.json: must be an object, is null");
    EXPECT_EQ(error_of(""),
              "x.json: line 1, column 1 (byte 1): syntax error while parsing value - unexpected end of input; "
              "expected '[', '{', or a literal");
}

TEST(Parse, EmptyServicesAreRefused) {
    EXPECT_EQ(error_of(R"({"format": "kudo-range-map/1", "serial": 1, "issued": "2022-03-01T00:00:00Z",
                           "effective": "2022-03-01T00:00:00Z", "services": []})"),
              "x.json: services: empty; a range map has at least one service");
}

TEST(Parse, MoreServicesThanTheKernelHasSlotsAreRefused) {
    std::string services;
    for (int i = 0; i < KUDO_MAX_SERVICES; ++i)
        services += R"({"name": "s)" + std::to_string(i) +
                    R"(", "class": "control", "regions": ["*"], "ports": ["tcp/1"], "ipv4": ["1.2.3.4"]}, )";
    EXPECT_EQ(error_of(edited("{\"name\": \"media\"", services + "{\"name\": \"media\"")),
              "x.json: services: 130 are too many; a range map has at most 127 services");
}

TEST(Parse, DocumentAboveTheLimitIsRefusedAndOneAtTheLimitIsRead) {
    std::string text(good);
    text.append(range_map_max_bytes - text.size(), ' ');
    EXPECT_EQ(error_of(text), "accepted");
    EXPECT_EQ(error_of(text + " "), "x.json: 1048577 bytes are too many; at most 1048576 are read");
}

TEST(Parse, NulByteDoesNotHideWhatFollows) {
    const std::string text = std::string(good) + std::string("\0garbage", 8);
    EXPECT_NE(error_of(text).find("a NUL byte"), std::string::npos);
}

TEST(Parse, NestingBombIsRefused) {
    EXPECT_NE(error_of(std::string(1000000, '[')).find("nested more than 8 deep"), std::string::npos);
    std::string objects;
    for (int i = 0; i < 100000; ++i)
        objects += "{\"a\":";
    EXPECT_NE(error_of(objects).find("a.a.a.a.a.a.a.a: nested more than 8 deep"), std::string::npos);
}

TEST(Parse, KeyWithControlCharactersIsEscapedInTheMessage) {
    EXPECT_NE(error_of(R"({"a\nb\u001b": 1})").find("x.json: [\"a\\x0ab\\x1b\"]: unknown field"), std::string::npos);
}

TEST(Parse, HugeTokenDoesNotMakeAHugeMessage) {
    EXPECT_LT(error_of("{\"" + std::string(900000, 'x')).size(), 400U);
    EXPECT_LT(error_of("[" + std::string(900000, '9') + "e999]").size(), 400U);
}

TEST(Parse, OptionalFieldsMayBeMissing) {
    const auto map = parse_range_map(edited(", \"expires\": null", ""), "x.json");
    ASSERT_TRUE(map) << map.error().message;
    EXPECT_FALSE(map->services[0].optional);
    EXPECT_TRUE(map->services[0].domains.empty());
}

TEST(Parse, OverlapsAndDuplicateRangesAreAccepted) {
    EXPECT_EQ(error_of(edited("\"10.0.0.0/24\"", "\"10.0.0.0/24\", \"10.0.0.0/24\", \"10.0.0.0/8\"")), "accepted");
}

TEST(Parse, MapWithoutAudienceOverridesAndSupersededSerialHasNone) {
    const auto map = parse_range_map(good, "x.json").value();
    EXPECT_FALSE(map.audience);
    EXPECT_TRUE(map.overrides.empty());
    EXPECT_EQ(map.supersedes, 0U);
    EXPECT_EQ(to_json(map).find("audience"), std::string::npos);
    EXPECT_EQ(to_json(map).find("overrides"), std::string::npos);
    EXPECT_EQ(to_json(map).find("supersedes"), std::string::npos);
}

TEST(Parse, AudienceIsAFleetOrOneRingOfIt) {
    const std::string longest(63, 'x');
    EXPECT_EQ(Audience::parse("acme").value(), (Audience{"acme", ""}));
    EXPECT_EQ(Audience::parse("acme/canary").value(), (Audience{"acme", "canary"}));
    EXPECT_EQ(Audience::parse(longest + "/" + longest).value().text(), longest + "/" + longest);
    for (const std::string& bad : {std::string("acme/canary/"), std::string("a b"), std::string("acme\n"),
                                   longest + "x", std::string("*"), std::string("acme/*"), std::string("/")})
        EXPECT_FALSE(Audience::parse(bad)) << bad;
}

TEST(Time, IsReadBackAsWritten) {
    for (const char* text :
         {"1970-01-01T00:00:00Z", "2024-02-29T23:59:59Z", "0000-01-01T00:00:00Z", "9999-12-31T23:59:59Z"})
        EXPECT_EQ(rfc3339(parse_rfc3339(text).value()), text);
    EXPECT_EQ(parse_rfc3339("2022-03-01T00:00:00Z")->time_since_epoch().count(), 1646092800);
}

TEST(Write, CanonicalDocumentIsAFixedPoint) {
    for (const std::string_view json : {good, built_in_range_map_json()}) {
        const std::string once = to_json(parse_range_map(json, "x").value());
        EXPECT_EQ(to_json(parse_range_map(once, "y").value()), once);
    }
}

constexpr std::string_view with_all_fields =
    R"("expires": null, "supersedes": 6, "overrides": ["wide-prefix", "shrink"], "audience": "acme/canary")";

TEST(Write, FieldsForFleetsStandAfterTheDatesAndOverridesAreSorted) {
    const auto map = parse_range_map(edited("\"expires\": null", with_all_fields), "x").value();
    EXPECT_NE(to_json(map).find(R"(
  "expires": null,
  "audience": "acme/canary",
  "overrides": [
    "shrink",
    "wide-prefix"
  ],
  "supersedes": 6,
  "services": [)"),
              std::string::npos)
        << to_json(map);
}

TEST(Write, DocumentWithAllFieldsIsAFixedPointAndNothingOfItIsLost) {
    const auto map = parse_range_map(edited("\"expires\": null", with_all_fields), "x").value();
    const auto again = parse_range_map(to_json(map), "y").value();
    EXPECT_EQ(to_json(again), to_json(map));
    EXPECT_EQ(again.audience, (Audience{"acme", "canary"}));
    EXPECT_EQ(again.overrides, (std::vector<std::string>{"shrink", "wide-prefix"}));
    EXPECT_EQ(again.supersedes, 6U);
}

TEST(Write, NothingIsLost) {
    const auto map = parse_range_map(edited("\"expires\": null", "\"expires\": \"2023-01-01T00:00:00Z\""), "x").value();
    const auto again = parse_range_map(to_json(map), "y").value();
    EXPECT_EQ(again.serial, map.serial);
    EXPECT_EQ(again.issued, map.issued);
    EXPECT_EQ(again.effective, map.effective);
    EXPECT_EQ(again.expires, map.expires);
    EXPECT_TRUE(diff(map, again).changes.empty());
}

} // namespace
} // namespace kudo
