// SPDX-License-Identifier: MIT
// Allow rules as the administrator writes them.
// Invariant: what is not exactly a rule is refused, and the message says which part is wrong.
#include <gtest/gtest.h>
#include <netinet/in.h>

#include "maps/allow/allow_rule.h"

namespace kudo {
namespace {

AllowRule parsed(std::string_view text) {
    auto rule = parse_allow_rule(text);
    EXPECT_TRUE(rule) << text << ": " << (rule ? "" : rule.error().message);
    return rule ? *rule : AllowRule{};
}

std::string refused(std::string_view text) {
    const auto rule = parse_allow_rule(text);
    EXPECT_FALSE(rule) << text;
    if (rule) return "";
    EXPECT_EQ(rule.error().kind, ErrorKind::BadInput);
    return rule.error().message;
}

std::vector<Prefix> prefixes(std::initializer_list<const char*> texts) {
    std::vector<Prefix> result;
    for (const char* text : texts)
        result.push_back(Prefix::parse(text).value());
    return result;
}

TEST(AllowRuleText, OfTcpAndUdpHasPortsAndWhoOpens) {
    const AllowRule ssh = parsed("tcp/22 from 203.0.113.0/24");
    EXPECT_EQ(ssh.rule.protocol, IPPROTO_TCP);
    EXPECT_EQ(ssh.rule.kind, KUDO_ALLOW_PROTOCOL);
    EXPECT_EQ(ssh.rule.first_port, 22);
    EXPECT_EQ(ssh.rule.last_port, 22);
    EXPECT_EQ(ssh.rule.flags, KUDO_ALLOW_FROM);
    EXPECT_EQ(ssh.remotes, prefixes({"203.0.113.0/24"}));
    EXPECT_EQ(ssh.text, "tcp/22 from 203.0.113.0/24");
    EXPECT_TRUE(ssh.lifeline.empty());

    const AllowRule tunnel = parsed("udp/51820-51830 to 198.51.100.7,2001:db8::1");
    EXPECT_EQ(tunnel.rule.first_port, 51820);
    EXPECT_EQ(tunnel.rule.last_port, 51830);
    EXPECT_EQ(tunnel.rule.flags, KUDO_ALLOW_TO);
    EXPECT_EQ(tunnel.remotes, prefixes({"198.51.100.7/32", "2001:db8::1/128"}));

    const AllowRule all = parsed("  tcp   to any ");
    EXPECT_EQ(all.rule.first_port, 0);
    EXPECT_EQ(all.rule.last_port, 65535);
    EXPECT_EQ(all.remotes, any_prefixes());
}

TEST(AllowRuleText, OfOtherProtocolsMayLeaveOutWhoOpens) {
    constexpr __u8 both = KUDO_ALLOW_FROM | KUDO_ALLOW_TO;
    const AllowRule echo = parsed("icmp");
    EXPECT_EQ(echo.rule.kind, KUDO_ALLOW_ECHO);
    EXPECT_EQ(echo.rule.flags, both);
    EXPECT_EQ(echo.remotes, any_prefixes());
    for (const auto& [text, protocol] :
         {std::pair{"esp", 50}, {"ah", 51}, {"gre", 47}, {"ipip", 4}, {"ip6", 41}, {"proto/132", 132}, {"any", 0}}) {
        const AllowRule rule = parsed(std::string(text) + " to 10.0.0.0/8");
        EXPECT_EQ(rule.rule.protocol, protocol) << text;
        EXPECT_EQ(rule.rule.kind, KUDO_ALLOW_PROTOCOL);
        EXPECT_EQ(rule.rule.flags, KUDO_ALLOW_TO);
        EXPECT_EQ(parsed(text).rule.flags, both) << text;
    }
}

TEST(AllowRuleText, RemotesAreSortedAndDistinct) {
    EXPECT_EQ(parsed("esp to 10.2.0.0/16,10.1.0.0/16,10.2.0.0/16").remotes, prefixes({"10.1.0.0/16", "10.2.0.0/16"}));
    EXPECT_EQ(parsed("esp to any,any").remotes, any_prefixes());
}

TEST(AllowRuleText, ARefusalQuotesTheRuleAndNamesThePart) {
    EXPECT_EQ(refused("tcp/0 to any"),
              "\"tcp/0 to any\": the port \"0\": expected 1 to 65535, or two of them with - between");
    for (const auto& [text, part] : {std::pair{"", "it is empty"},
                                     {"tcp/22", "who opens is missing"},
                                     {"udp", "who opens is missing"},
                                     {"sctp to any", "the protocol \"sctp\""},
                                     {"TCP/22 to any", "the protocol \"TCP\""},
                                     {"icmp/8", "the port \"8\": icmp has none"},
                                     {"tcp/ to any", "the port \"\""},
                                     {"tcp/65536 to any", "the port \"65536\""},
                                     {"tcp/9-8 to any", "the last is below the first"},
                                     {"tcp/8- to any", "the port \"8-\""},
                                     {"tcp/22x to any", "the port \"22x\""},
                                     {"proto/0", "proto/N, N being 1 to 255"},
                                     {"proto/256", "proto/N, N being 1 to 255"},
                                     {"proto/1", "write icmp"},
                                     {"proto/58", "write icmp"},
                                     {"proto", "proto/N"},
                                     {"tcp/22 at any", "\"at\": expected from or to"},
                                     {"tcp/22 from", "the remote behind from is missing"},
                                     {"tcp/22 from 10.0.0.1 now", "\"now\": expected nothing"},
                                     {"tcp/22 from 10.0.0.1, 10.0.0.2", "expected nothing"},
                                     {"tcp/22 from 10.0.0.9/24", "the remote \"10.0.0.9/24\""},
                                     {"tcp/22 from example.com", "the remote \"example.com\""},
                                     {"tcp/22 from 10.0.0.1,", "the remote \"\""}})
        EXPECT_NE(refused(text).find(part), std::string::npos) << text << ": " << refused(text);
    EXPECT_NE(refused(std::string(5000, 'x')).find("longer than"), std::string::npos);
}

} // namespace
} // namespace kudo
