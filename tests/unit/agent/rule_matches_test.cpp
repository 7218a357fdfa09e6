// SPDX-License-Identifier: MIT
// Which conditions of rules hold for a packet: yes, no, or unknown.
#include <gtest/gtest.h>

#include "tests/unit/agent/ruleset_json.h"

namespace kudo::test {
namespace {

// "yes": a rule with these expressions applies to the packet; "no"; "unknown".
std::string applies(const std::string& expressions, const PacketFacts& facts = media(), const std::string& sets = {}) {
    const auto verdict = find_dropping_rule(
        ruleset(sets + base("in", "input", 0) + rule("in", 2, expressions + "," + drop) + rule("in", 3, drop)), facts);
    if (verdict.certainty == Certainty::Certain) return verdict.points[0].handle == 2 ? "yes" : "no";
    return "unknown";
}

TEST(DroppingRuleMatches, Addresses) {
    EXPECT_EQ(applies(payload("ip", "saddr", R"("52.200.60.17")")), "yes");
    EXPECT_EQ(applies(payload("ip", "saddr", R"("52.200.60.18")")), "no");
    EXPECT_EQ(applies(payload("ip", "saddr", R"({"prefix":{"addr":"52.200.0.0","len":16}})")), "yes");
    EXPECT_EQ(applies(payload("ip", "daddr", R"({"prefix":{"addr":"10.77.0.0","len":31}})")), "no");
    EXPECT_EQ(applies(payload("ip", "saddr", R"({"range":["52.200.60.1","52.200.60.17"]})")), "yes");
    EXPECT_EQ(applies(payload("ip", "saddr", R"("52.200.60.18")", "!=")), "yes");
    EXPECT_EQ(applies(payload("ip", "saddr", R"({"set":["1.2.3.4",{"prefix":{"addr":"52.0.0.0","len":8}}]})")), "yes");
    EXPECT_EQ(applies(payload("ip", "saddr", R"({"set":["1.2.3.4",{"prefix":{"addr":"53.0.0.0","len":8}}]})")), "no");
    EXPECT_EQ(applies(match(R"({"&":[{"payload":{"protocol":"ip","field":"daddr"}},"0.0.0.255"]})", R"("0.0.0.2")")),
              "yes");
    EXPECT_EQ(applies(payload("ip6", "saddr", R"("::1")", "!=")), "no") << "no packet of IPv6";
    PacketFacts six = media();
    six.source = address("2600:1f18::17");
    six.destination = address("fd77::2");
    EXPECT_EQ(applies(payload("ip6", "saddr", R"({"prefix":{"addr":"2600:1f18::","len":33}})"), six), "yes");
    EXPECT_EQ(applies(payload("ip6", "daddr", R"({"set":["::1",{"prefix":{"addr":"fe80::","len":10}}]})"), six), "no");
    EXPECT_EQ(applies(payload("ip6", "nexthdr", "17"), six), "unknown") << "extensions may come first";
    EXPECT_EQ(applies(meta("nfproto", "10"), six), "yes");
}

TEST(DroppingRuleMatches, PortsAndProtocols) {
    EXPECT_EQ(applies(payload("udp", "dport", "40000")), "yes");
    EXPECT_EQ(applies(payload("udp", "dport", "{\"range\":[39999,40001]}")), "yes");
    EXPECT_EQ(applies(payload("udp", "sport", "3478", "<")), "no");
    EXPECT_EQ(applies(payload("udp", "sport", "3478", "<=")), "yes");
    EXPECT_EQ(applies(payload("udp", "dport", "{\"set\":[53,54]}", "!=")), "yes");
    EXPECT_EQ(applies(payload("th", "dport", "40000")), "yes");
    EXPECT_EQ(applies(payload("tcp", "dport", "40000", "!=")), "no") << "no TCP";
    EXPECT_EQ(applies(payload("ip", "protocol", "17")), "yes");
    EXPECT_EQ(applies(meta("l4proto", R"({"set":[6,17]})")), "yes");
    EXPECT_EQ(applies(meta("l4proto", R"("tcp")")), "no");
    EXPECT_EQ(applies(meta("protocol", R"("ip")")), "yes");
    EXPECT_EQ(applies(payload("icmp", "type", "8")), "no");
    EXPECT_EQ(applies(payload("udp", "length", "100", ">")), "yes");
    EXPECT_EQ(applies(payload("udp", "checksum", "0")), "unknown");
    PacketFacts portless = media();
    portless.destination_port.reset();
    EXPECT_EQ(applies(payload("udp", "dport", "40000"), portless), "unknown");
}

TEST(DroppingRuleMatches, FlagsOfTcp) {
    PacketFacts syn = media();
    syn.protocol = IPPROTO_TCP;
    syn.tcp_flags = 2;
    const char* masked = R"({"&":[{"payload":{"protocol":"tcp","field":"flags"}},[2,16]]})";
    EXPECT_EQ(applies(match(masked, "2"), syn), "yes");
    EXPECT_EQ(applies(payload("tcp", "flags", "[2,16]", "in"), syn), "yes");
    EXPECT_EQ(applies(payload("tcp", "flags", "16", "in"), syn), "no");
    EXPECT_EQ(applies(payload("tcp", "flags", "2", "!"), syn), "no");
    EXPECT_EQ(applies(payload("tcp", "flags", R"({"set":[{"|":[2,16]},2]})"), syn), "yes");
    syn.tcp_flags.reset();
    EXPECT_EQ(applies(match(masked, "2"), syn), "unknown");
}

TEST(DroppingRuleMatches, MetaAndTheRest) {
    EXPECT_EQ(applies(meta("iifname", R"("eth0")")), "yes");
    EXPECT_EQ(applies(meta("iifname", R"("eth*")")), "yes");
    EXPECT_EQ(applies(meta("iif", R"("lo")", "!=")), "yes");
    EXPECT_EQ(applies(meta("iifname", R"({"set":["wlan*","lo"]})")), "no");
    EXPECT_EQ(applies(meta("oifname", R"("eth0")", "!=")), "yes") << "an input chain has no output interface";
    EXPECT_EQ(applies(meta("mark", "75")), "yes");
    EXPECT_EQ(applies(match(R"({"&":[{"meta":{"key":"mark"}},240]})", "64")), "yes");
    EXPECT_EQ(applies(meta("mark", R"({"range":[1,74]})")), "no");
    EXPECT_EQ(applies(meta("length", R"({"range":[100,200]})")), "yes");
    EXPECT_EQ(applies(payload("ip", "length", R"({"range":[129,200]})")), "no");
    EXPECT_EQ(applies(payload("ip", "dscp", R"({"set":[34,46]})")), "yes");
    EXPECT_EQ(applies(payload("ip6", "dscp", "46")), "no");
    EXPECT_EQ(applies(meta("pkttype", R"({"set":[0,1]})")), "yes");
    EXPECT_EQ(applies(match(R"({"fib":{"result":"type","flags":["daddr"]}})", R"("local")")), "yes");
    EXPECT_EQ(applies(match(R"({"ct":{"key":"state"}})", "[8,64]", "in")), "no");
    EXPECT_EQ(applies(match(R"({"ct":{"key":"state"}})", R"({"set":[2,4]})")), "yes");
    EXPECT_EQ(applies(match(R"({"ct":{"key":"state"}})", "8", "!=")), "yes");
    PacketFacts any = media();
    any.mark.reset();
    any.dscp.reset();
    any.input.reset();
    any.ct_states.reset();
    for (const std::string& condition : {meta("mark", "75"), payload("ip", "dscp", "46"), meta("iifname", R"("eth0")"),
                                         match(R"({"ct":{"key":"state"}})", "8", "in")})
        EXPECT_EQ(applies(condition, any), "unknown") << condition;
}

TEST(DroppingRuleMatches, WhatNobodyKnowsIsUnknown) {
    for (
        const char* statement :
        {R"({"limit":{"rate":5,"burst":5,"per":"second","inv":true}})",
         R"({"quota":{"val":5,"val_unit":"mbytes"}})",
         R"({"quota":"qq"})",
         R"({"limit":"ll"})",
         R"({"ct count":{"val":5,"inv":true}})",
         R"({"match":{"op":"==","left":{"numgen":{"mode":"inc","mod":2,"offset":0}},"right":0}})",
         R"({"match":{"op":"==","left":{"jhash":{"mod":2,"expr":{"payload":{"protocol":"ip","field":"saddr"}}}},"right":0}})",
         R"({"match":{"op":"==","left":{"ct":{"key":"mark"}},"right":4}})",
         R"({"match":{"op":"==","left":{"ct":{"key":"ip saddr","dir":"original"}},"right":"1.2.3.4"}})",
         R"({"match":{"op":"==","left":{"socket":{"key":"transparent"}},"right":1}})",
         R"({"match":{"op":"==","left":{"osf":{"key":"name"}},"right":"Linux"}})",
         R"({"match":{"op":"==","left":{"meta":{"key":"hour"}},"right":{"range":["10:00","11:00"]}}})",
         R"({"match":{"op":"==","left":{"meta":{"key":"skuid"}},"right":0}})",
         R"({"match":{"op":"==","left":{"payload":{"base":"nh","offset":96,"len":32}},"right":167772161}})",
         R"({"match":{"op":"==","left":{"exthdr":{"name":"frag"}},"right":true}})",
         R"({"match":{"op":"==","left":{"fib":{"result":"oif","flags":["saddr","iif"]}},"right":false}})",
         R"({"set":{"op":"update","elem":{"payload":{"protocol":"ip","field":"saddr"}},"set":"@dyn","stmt":[{"limit":{"rate":5}}]}})",
         R"({"xt":{"type":"match","name":"hashlimit"}})",
         R"({"xt":null})",
         R"({"tproxy":{"port":5}})"})
        EXPECT_EQ(applies(statement), "unknown") << statement;
}

TEST(DroppingRuleMatches, WhatDecidesNothingIsPassedOver) {
    for (const char* statement :
         {R"({"log":{"prefix":"x","group":1}})", R"({"counter":{"packets":5,"bytes":500}})", R"({"notrack":null})",
          R"({"dup":{"addr":"1.2.3.4"}})", R"({"xt":{"type":"match","name":"comment"}})",
          R"({"mangle":{"key":{"ct":{"key":"mark"}},"value":{"meta":{"key":"mark"}}}})",
          R"({"mangle":{"key":{"payload":{"protocol":"ip","field":"dscp"}},"value":8}})"})
        EXPECT_EQ(applies(statement), "yes") << statement;
}

// nft leaves out "meta nfproto ipv6" and the like before these.
TEST(DroppingRuleMatches, WhatAStatementImplies) {
    for (const char* statement :
         {R"({"mangle":{"key":{"tcp option":{"name":"maxseg","field":"size"}},"value":1400}})",
          R"({"mangle":{"key":{"payload":{"protocol":"ip6","field":"dscp"}},"value":8}})",
          R"({"mangle":{"key":{"ct":{"key":"mark"}},"value":{"payload":{"protocol":"ip6","field":"flowlabel"}}}})",
          R"({"reject":{"type":"icmpv6","expr":1}})", R"({"reject":{"type":"tcp reset"}})",
          R"({"dnat":{"family":"ip6","addr":"::1"}})", R"({"synproxy":{"mss":1460}})"})
        EXPECT_EQ(applies(statement), "no") << statement;
    EXPECT_EQ(applies(R"({"reject":{"type":"icmp","expr":1}})"), "yes");
}

TEST(DroppingRuleMatches, ARangeThatNftPrintsInTwoSenses) {
    EXPECT_EQ(applies(payload("udp", "dport", R"({"range":[39000,41000]})", "!=")), "no");
    EXPECT_EQ(applies(payload("udp", "dport", R"({"range":[1,2]})", "!=")), "unknown");
    EXPECT_EQ(applies(payload("udp", "dport", R"({"range":[41000,39000]})", "!=")), "yes") << "< 41000 and > 39000";
    EXPECT_EQ(applies(payload("udp", "dport", R"({"range":[40000,39000]})", "!=")), "no");
}

TEST(DroppingRuleMatches, NeighbouringFieldsThatNftMakesOneOf) {
    const std::string not_this_port = payload("udp", "dport", "40000", "!=");
    EXPECT_EQ(applies(not_this_port), "no");
    EXPECT_EQ(applies(not_this_port + "," + payload("udp", "length", "9", "!=")), "unknown");
    EXPECT_EQ(applies(payload("udp", "sport", "53", "!=") + "," + payload("udp", "dport", "53", "!=")), "yes");
    EXPECT_EQ(applies(not_this_port + "," + payload("ip", "saddr", R"("1.2.3.4")", "!=")), "no") << "of two headers";
    EXPECT_EQ(applies(payload("tcp", "dport", "1", "!=") + "," + payload("tcp", "sport", "2", "!=")), "no") << "no TCP";
}

TEST(DroppingRuleMatches, NamedSets) {
    const std::string sets =
        object(
            "set",
            R"("name":"a","type":"ipv4_addr","flags":["interval"],"elem":["1.2.3.4",{"prefix":{"addr":"52.0.0.0","len":8}}])") +
        object(
            "set",
            R"("name":"b","type":["ipv4_addr","inet_service"],"elem":[{"elem":{"val":{"concat":[{"prefix":{"addr":"52.0.0.0","len":8}},{"range":[3000,4000]}]},"timeout":3600,"expires":3599}}])") +
        object("set", R"("name":"empty","type":"ipv4_addr","size":100,"flags":["timeout"],"timeout":60)") +
        object("set", R"("name":"all","type":"ipv4_addr","elem":["*"])");
    const char* both =
        R"({"concat":[{"payload":{"protocol":"ip","field":"saddr"}},{"payload":{"protocol":"udp","field":"sport"}}]})";
    EXPECT_EQ(applies(payload("ip", "saddr", R"("@a")"), media(), sets), "yes");
    EXPECT_EQ(applies(payload("ip", "daddr", R"("@a")"), media(), sets), "no");
    EXPECT_EQ(applies(match(both, R"("@b")"), media(), sets), "yes");
    EXPECT_EQ(applies(payload("ip", "saddr", R"("@empty")"), media(), sets), "no");
    EXPECT_EQ(applies(payload("ip", "saddr", R"("@empty")", "!="), media(), sets), "yes");
    EXPECT_EQ(applies(payload("ip", "saddr", R"("@all")"), media(), sets), "yes");
    EXPECT_EQ(applies(payload("ip", "saddr", R"("@gone")"), media(), sets), "unknown");
    PacketFacts portless = media();
    portless.source_port.reset();
    EXPECT_EQ(applies(match(both, R"("@b")"), portless, sets), "unknown");
}

} // namespace
} // namespace kudo::test
