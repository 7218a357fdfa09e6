// SPDX-License-Identifier: MIT
// What is said of a name.
// Invariant: each test names one behaviour.
#include <gtest/gtest.h>

#include "agent/inspect/name_explanation.h"
#include "maps/compile/combine.h"
#include "maps/document/built_in.h"
#include "maps/document/domain.h"
#include "tests/support/dns_message.h"

namespace kudo {
namespace {

CompileOptions options_of(std::vector<std::string> regions = {"ca"}) {
    CompileOptions options;
    options.regions = std::move(regions);
    options.marks = default_marks();
    return options;
}

NameExplanation explained(const std::string& name, const CompileOptions& options = options_of(),
                          std::optional<PortRule> port = {}, const std::vector<LearnedName>& learned = {}) {
    return explain_name(built_in_range_map(), options, name, port, learned).value();
}

LearnedName learned(const std::string& name, const std::string& domain, const char* address) {
    LearnedName result;
    result.address = Address::parse(address).value();
    result.name = name;
    result.row = {.domain = domain_key(domain), .query = query_hash(name, false), .until = UINT64_MAX};
    return result;
}

TEST(HostName, IsInLowerCaseWithoutAFinalDot) {
    EXPECT_EQ(parse_host_name("Live.KUDOway.ca.").value(), "live.kudoway.ca");
    EXPECT_EQ(parse_host_name("_a.xn--bcher-kva.example").value(), "_a.xn--bcher-kva.example");
}

TEST(HostName, WhatIsNoneIsRefusedWithTheReason) {
    const auto why = [](std::string_view text) { return parse_host_name(text).error().message; };
    EXPECT_NE(why("*.kudoway.ca").find("wildcard"), std::string::npos);
    EXPECT_NE(why("b\xc3\xbc"
                  "cher.example")
                  .find("xn--"),
              std::string::npos);
    EXPECT_NE(why("300.1.1.1").find("number"), std::string::npos);
    EXPECT_NE(why("").find("label"), std::string::npos);
    EXPECT_NE(why("a..b").find("label"), std::string::npos);
    EXPECT_NE(why("https://live.kudoway.ca/").find("label"), std::string::npos);
    EXPECT_NE(why(std::string(254, 'a')).find("253"), std::string::npos);
    for (const char* text : {"*.kudoway.ca", "300.1.1.1", ""})
        EXPECT_EQ(parse_host_name(text).error().kind, ErrorKind::BadInput);
}

TEST(QueryHash, IsTheKernels) {
    const auto message = test::dns_question("Live.kudoway.ca", 7, KUDO_DNS_TYPE_AAAA);
    std::array<uint8_t, KUDO_DNS_WINDOW> window{};
    std::copy(message.begin(), message.end(), window.begin());
    kudo_dns_query query{};
    ASSERT_EQ(kudo_read_dns_query(window.data(), static_cast<uint32_t>(message.size()), &query), 1);
    EXPECT_EQ(query.hash, query_hash("live.kudoway.ca", true));
}

TEST(NameExplanation, TheMostSpecificDomainComesFirst) {
    const auto live = explained("live.kudoway.ca");
    ASSERT_GE(live.domains.size(), 2U);
    EXPECT_EQ(live.domains[0].domain, "live.kudoway.ca");
    EXPECT_EQ(live.domains[1].domain, "*.kudoway.ca");
    EXPECT_TRUE(live.domains[0].counts);
    EXPECT_NE(live.domains[0].path.find("].domains["), std::string::npos);
}

TEST(NameExplanation, APacketToItsAddressMeetsTheDomainsService) {
    const auto name = explained("anvil.tokbox.com", options_of(), PortRule{6, 443});
    ASSERT_EQ(name.rules.size(), 1U);
    EXPECT_EQ(name.rules[0].reason, KUDO_REASON_NAME);
    EXPECT_EQ(name.rules[0].service, "opentok");
    EXPECT_EQ(explained("anvil.tokbox.com", options_of(), PortRule{6, 25}).rules[0].reason, KUDO_REASON_STRANGER);
}

TEST(NameExplanation, WithoutAPortEveryRuleOfItsServicesIsThere) {
    const auto name = explained("live.kudoway.ca");
    ASSERT_EQ(name.rules.size(), 3U); // any other port, icmp
    EXPECT_EQ(name.rules[0].packet, "tcp/443");
    EXPECT_EQ(name.rules[0].reason, KUDO_REASON_NAME);
}

TEST(NameExplanation, ANameUnderNoDomainIsToldSo) {
    const auto name = explained("www.example.com", options_of(), PortRule{6, 443});
    EXPECT_TRUE(name.domains.empty());
    EXPECT_EQ(name.rules[0].reason, KUDO_REASON_STRANGER);
    ASSERT_FALSE(name.notes.empty());
    EXPECT_NE(name.notes[0].find("No domain"), std::string::npos);
    EXPECT_TRUE(explained("tokbox.com").domains.empty()) << "a wildcard is not the name itself";
    EXPECT_TRUE(explained("eviltokbox.com").domains.empty());
}

TEST(NameExplanation, WhatIsNotChosenSaysWhatWouldChooseIt) {
    const auto name = explained("teams-bot.kudoway.com");
    ASSERT_FALSE(name.domains.empty());
    EXPECT_FALSE(name.domains[0].counts);
    EXPECT_EQ(name.domains[0].option, "--teams");
}

TEST(NameExplanation, WildcardsDoNotCountWithExactDomains) {
    CompileOptions options = options_of();
    options.exact_domains = true;
    const auto anvil = explained("anvil.tokbox.com", options, PortRule{6, 443});
    ASSERT_FALSE(anvil.domains.empty());
    EXPECT_FALSE(anvil.domains[0].counts);
    EXPECT_EQ(anvil.rules[0].reason, KUDO_REASON_STRANGER);
    EXPECT_EQ(explained("live.kudoway.ca", options, PortRule{6, 443}).rules[0].reason, KUDO_REASON_NAME);
}

TEST(NameExplanation, ItsAddressesAreListedAndARangeComesFirst) {
    const std::string name = "anvil.tokbox.com", domain = "*.tokbox.com";
    const auto found = explained(name, options_of(), PortRule{6, 443},
                                 {learned(name, domain, "25.1.1.1"), learned(name, domain, "3.123.12.129"),
                                  learned("other.tokbox.com", domain, "25.1.1.2")});
    ASSERT_EQ(found.known.size(), 2U);
    EXPECT_EQ(found.known[0].rule.reason, KUDO_REASON_NAME);
    EXPECT_EQ(found.known[0].range, "");
    EXPECT_EQ(found.known[1].rule.reason, KUDO_REASON_RULE);
    EXPECT_NE(found.known[1].range.find("of media"), std::string::npos);
}

TEST(NameExplanation, DomainsOfARetiringMapAreHonouredAndShownAsRetiring) {
    RangeMap next = built_in_range_map();
    for (Service& service : next.services)
        std::erase(service.domains, "*.tokbox.com");
    const RangeMap retiring[] = {built_in_range_map()};
    const auto name =
        explain_name(combine(next, {}, retiring), options_of(), "anvil.tokbox.com", PortRule{6, 443}, {}).value();
    ASSERT_EQ(name.domains.size(), 1U);
    EXPECT_EQ(name.domains[0].state, "retiring");
    EXPECT_TRUE(name.domains[0].counts);
    EXPECT_EQ(name.rules[0].reason, KUDO_REASON_NAME);
    EXPECT_EQ(name.rules[0].service, "opentok~retiring");
}

} // namespace
} // namespace kudo
