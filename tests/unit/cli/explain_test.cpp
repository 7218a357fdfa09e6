// SPDX-License-Identifier: MIT
// What explain says of packets: the decision of the data path, and the line of the map behind it.
// Invariant: each test names one behaviour.
#include <algorithm>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "agent/inspect/explanation.h"
#include "cli/arguments/mark_option.h"
#include "cli/views/explanation_view.h"
#include "maps/document/built_in.h"

namespace kudo {
namespace {

CompileOptions options_for(std::vector<std::string> regions) {
    CompileOptions options;
    options.regions = std::move(regions);
    options.marks = default_marks();
    return options;
}

Explanation explained(const char* address, const char* port = nullptr, CompileOptions options = options_for({"ca"})) {
    std::optional<PortRule> rule;
    if (port) rule = PortRule::parse(port).value();
    return explain(built_in_range_map(), options, Address::parse(address).value(), rule).value();
}

TEST(Explain, NamesServiceClassRangeAndLine) {
    const Explanation explanation = explained("3.123.12.130", "udp/3478");
    ASSERT_EQ(explanation.rules.size(), 1U);
    const Explanation::Rule& rule = explanation.rules[0];
    EXPECT_EQ(rule.verdict, KUDO_PRIORITISED);
    EXPECT_EQ(rule.reason, KUDO_REASON_RULE);
    EXPECT_EQ(rule.class_, KUDO_CLASS_MEDIA);
    EXPECT_EQ(rule.service, "media");
    EXPECT_EQ(rule.range, "3.123.12.128/28");
    EXPECT_EQ(rule.path, "services[0].ipv4[0]");
    EXPECT_EQ(mark_text(rule.mark), "DSCP AF41, priority 6");
}

TEST(Explain, NamesTheMostSpecificOfTwoRanges) {
    EXPECT_EQ(explained("3.7.161.50", "tcp/443").rules[0].range, "3.7.161.48/28");
    EXPECT_EQ(explained("3.7.161.5", "tcp/443").rules[0].range, "3.7.161.0/26");
}

TEST(Explain, WithoutAPortListsEveryRule) {
    const Explanation explanation = explained("3.123.12.130");
    std::vector<std::string> packets;
    for (const auto& rule : explanation.rules)
        packets.push_back(rule.packet);
    EXPECT_EQ(packets, (std::vector<std::string>{"udp/3478", "tcp/443", "any other port", "icmp"}));
    EXPECT_EQ(explanation.rules[1].class_, KUDO_CLASS_FALLBACK);
    EXPECT_EQ(explanation.rules[2].reason, KUDO_REASON_PORT_NOT_LISTED);
    EXPECT_EQ(explanation.rules[3].reason, KUDO_REASON_ICMP);
}

TEST(Explain, AStrangerHasNoServiceAndANoteOnNames) {
    const Explanation explanation = explained("8.8.8.8");
    ASSERT_EQ(explanation.rules.size(), 1U);
    EXPECT_EQ(explanation.rules[0].reason, KUDO_REASON_STRANGER);
    EXPECT_EQ(explanation.rules[0].service, "");
    EXPECT_EQ(explanation.notes.size(), 1U);
}

TEST(Explain, SaysWhichRegionWouldIncludeTheAddress) {
    const Explanation explanation = explained("44.194.123.245", "tcp/443");
    EXPECT_EQ(explanation.rules[0].reason, KUDO_REASON_STRANGER);
    ASSERT_EQ(explanation.not_chosen.size(), 1U);
    EXPECT_EQ(explanation.not_chosen[0].service, "region-us");
    EXPECT_EQ(explanation.not_chosen[0].option, "--region us");
    EXPECT_TRUE(explained("44.194.123.245", "tcp/443", options_for({"us"})).not_chosen.empty());
}

TEST(Explain, SuggestsNoOptionThatEnableDoesNotHave) {
    const auto options_of = [](const char* name, std::vector<std::string> regions) {
        RangeMap map = built_in_range_map();
        map.services = {{.name = "media", .regions = {"*"}, .ports = {}, .ranges = {}, .domains = {}},
                        {.name = name,
                         .regions = std::move(regions),
                         .optional = true,
                         .ports = {},
                         .ranges = {{Prefix::parse("192.0.2.0/24").value(), "path"}},
                         .domains = {}}};
        CompileOptions chosen;
        chosen.regions = {"ca"};
        map.services[0].regions = {"ca", "us"};
        const auto explanation = explain(map, chosen, Address::parse("192.0.2.1").value(), std::nullopt);
        return explanation.value().not_chosen.at(0).option;
    };
    EXPECT_EQ(options_of("teams", {"*"}), "--teams");
    EXPECT_EQ(options_of("teams", {"us"}), "--region us --teams");
    EXPECT_EQ(options_of("archive", {"*"}), "");
}

TEST(Explain, BehindANat64TheIPv4RangeDecides) {
    const Explanation explanation = explained("64:ff9b::37b:c82", "udp/3478");
    ASSERT_TRUE(explanation.ipv4);
    EXPECT_EQ(explanation.ipv4->text(), "3.123.12.130");
    EXPECT_EQ(explanation.rules[0].service, "media");
    EXPECT_EQ(explanation.rules[0].range, "3.123.12.128/28");
    EXPECT_EQ(explanation.rules[0].path, "services[0].ipv4[0]");
    EXPECT_EQ(explained("64:ff9b::2cc2:7bf5").not_chosen.at(0).option, "--region us");
    EXPECT_FALSE(explained("3.123.12.130").ipv4);
}

TEST(Explain, InObserveModeNothingIsMarked) {
    CompileOptions options = options_for({"ca"});
    options.mode = KUDO_OBSERVE;
    const Explanation explanation = explained("3.123.12.130", "udp/3478", options);
    EXPECT_EQ(explanation.rules[0].verdict, KUDO_PASS);
    EXPECT_EQ(mark_text(explanation.rules[0].mark), "unmarked");
}

TEST(Explain, JsonTellsBothDirections) {
    CompileOptions options = options_for({"ca"});
    options.firewall_mark = options.firewall_mark_mask = 0x10;
    const OrderedJson json = explanation_json(explained("3.123.12.130", "udp/3478", options));
    EXPECT_EQ(json["port"], "udp/3478");
    EXPECT_EQ(json["rules"][0]["ingress"]["verdict"], "prioritise");
    EXPECT_EQ(json["rules"][0]["ingress"]["firewall_mark"], "0x10/0x10");
    EXPECT_EQ(json["rules"][0]["egress"]["dscp"], "AF41");
    EXPECT_EQ(json["rules"][0]["egress"]["priority"], 6);
    EXPECT_EQ(json["rules"][0]["path"], "services[0].ipv4[0]");
}

TEST(Explain, TextNamesTheMapAndTheReason) {
    Explanation explanation = explained("3.123.12.130", "udp/3478");
    explanation.source = "built-in";
    const std::string text = explanation_text(explanation, false);
    EXPECT_NE(text.find("services[0].ipv4[0] of range map 2022030100 (built-in)"), std::string::npos) << text;
    EXPECT_NE(text.find("a range and a port of the map allow it"), std::string::npos);
}

} // namespace
} // namespace kudo
