// SPDX-License-Identifier: MIT
// Which rule drops a packet.
#include <gtest/gtest.h>

#include <ctime>

#include "tests/unit/agent/ruleset_json.h"

namespace kudo::test {
namespace {

TEST(DroppingRule, JumpsGotosAndReturns) {
    const std::string jump = R"({"jump":{"target":"sub"}})", goto_ = R"({"goto":{"target":"sub"}})";
    const std::string sub = chain("sub") + rule("sub", 9, payload("tcp", "dport", "1") + "," + drop);
    const auto in = [&](const std::string& first) {
        return names(find_dropping_rule(
            ruleset(sub + base("in", "input", 0, "drop") + rule("in", 2, first) + rule("in", 3, drop)), media()));
    };
    EXPECT_EQ(in(jump), "inet t in handle 3");
    EXPECT_EQ(in(goto_), "inet t in policy drop") << "does not come back";
    EXPECT_EQ(in(R"({"return":null})"), "inet t in policy drop");
    EXPECT_EQ(in(accept), "none");
    EXPECT_EQ(in(R"({"reject":{"type":"icmpx","expr":1}})"), "inet t in handle 2");
    EXPECT_EQ(in(R"({"queue":{"num":1}})"), "inet t in handle 2");
    EXPECT_EQ(in(R"({"fwd":{"dev":"lo"}})"), "none");
}

TEST(DroppingRule, VerdictMaps) {
    const auto by_port = [&](const std::string& elements, const PacketFacts& facts = media()) {
        const std::string vmap =
            R"({"vmap":{"key":{"payload":{"protocol":"udp","field":"dport"}},"data":{"set":[)" + elements + "]}}}";
        return names(find_dropping_rule(ruleset(chain("sub") + rule("sub", 9, drop) + base("in", "input", 0) +
                                                rule("in", 2, vmap) + rule("in", 3, drop)),
                                        facts));
    };
    EXPECT_EQ(by_port(R"([40000,{"drop":null}],[1,{"accept":null}])"), "inet t in handle 2");
    EXPECT_EQ(by_port(R"([{"range":[1,40000]},{"jump":{"target":"sub"}}])"), "inet t sub handle 9");
    EXPECT_EQ(by_port(R"([1,{"drop":null}])"), "inet t in handle 3");
    EXPECT_EQ(by_port(R"([1,{"drop":null}],["*",{"accept":null}])"), "none");
    PacketFacts portless = media();
    portless.destination_port.reset();
    EXPECT_EQ(by_port(R"([1,{"drop":null}],[2,{"accept":null}])", portless),
              "one of: inet t in handle 2, inet t in handle 3");
}

TEST(DroppingRule, HooksAndPrioritiesAreMetInTheirOrder) {
    const std::string objects = base("late", "input", 10, "drop") + base("early", "prerouting", 0) +
                                rule("early", 5, meta("mark", "7") + "," + drop) + base("first", "prerouting", -150) +
                                rule("first", 6, R"({"mangle":{"key":{"meta":{"key":"mark"}},"value":7}})");
    EXPECT_EQ(names(find_dropping_rule(ruleset(objects), media())), "inet t early handle 5");
    PacketFacts out = media();
    out.path = PacketPath::Out;
    EXPECT_EQ(names(find_dropping_rule(ruleset(objects), out)), "none");
    // Accepted in one chain it still meets the others.
    EXPECT_EQ(
        names(find_dropping_rule(
            ruleset(base("one", "input", 0) + rule("one", 2, accept) + base("two", "input", 1, "drop")), media())),
        "inet t two policy drop");
}

TEST(DroppingRule, ChainsOfOnePriorityAreAllCandidates) {
    EXPECT_EQ(
        names(find_dropping_rule(ruleset(base("one", "input", 0, "drop") + base("two", "input", 0, "drop")), media())),
        "one of: inet t one policy drop, inet t two policy drop");
}

TEST(DroppingRule, ConntrackStatesAreTriedOneByOne) {
    const std::string objects =
        base("in", "input", 0) +
        rule("in", 2,
             R"({"vmap":{"key":{"ct":{"key":"state"}},"data":{"set":[[2,{"accept":null}],[1,{"drop":null}]]}}})") +
        rule("in", 3, match(R"({"ct":{"key":"state"}})", "8", "in") + "," + drop);
    const auto in = [&](unsigned states) {
        PacketFacts facts = media();
        facts.ct_states = static_cast<uint8_t>(states);
        return names(find_dropping_rule(ruleset(objects), facts));
    };
    EXPECT_EQ(in(CtEstablished), "none");
    EXPECT_EQ(in(CtNew), "inet t in handle 3");
    EXPECT_EQ(in(CtEstablished | CtNew), "inet t in handle 3") << "it was dropped: so it was new";
    EXPECT_EQ(in(CtInvalid | CtNew), "one of: inet t in handle 2, inet t in handle 3");
}

std::string counted(uint64_t packets) {
    return fmt::format(R"({{"counter":{{"packets":{},"bytes":0}}}})", packets);
}

TEST(DroppingRule, CountersExclude) {
    const auto rules = [&](uint64_t first, uint64_t second) {
        const std::string limit = R"({"limit":{"rate":5,"burst":5,"per":"second"}},)";
        return ruleset(base("in", "input", 0) + rule("in", 2, limit + counted(first) + "," + drop) +
                       rule("in", 3, limit + counted(second) + "," + drop));
    };
    EXPECT_EQ(names(find_dropping_rule(rules(5, 5), media())), "one of: inet t in handle 2, inet t in handle 3");
    EXPECT_EQ(names(find_dropping_rule(rules(0, 5), media())), "inet t in handle 3");
    const Ruleset before = rules(5, 5);
    const auto since = find_dropping_rule(rules(15, 5), media(), {.drops = 10, .before = &before});
    EXPECT_EQ(names(since), "inet t in handle 2");
    EXPECT_EQ(since.points[0].counter, 15U);
    EXPECT_EQ(since.points[0].counted, 10U);
    // Less than what was dropped: it was not alone.
    EXPECT_EQ(names(find_dropping_rule(rules(9, 5), media(), {.drops = 10, .before = &before})),
              "one of: inet t in handle 2");
    // Set back meanwhile.
    EXPECT_EQ(names(find_dropping_rule(rules(2, 5), media(), {.drops = 2, .before = &before})), "inet t in handle 2");
}

TEST(DroppingRule, NatIsFollowedToWhatItMayDo) {
    const std::string nat =
        chain("nat", R"(,"type":"nat","hook":"prerouting","prio":-100,"policy":"accept")") +
        rule("nat", 4, payload("udp", "dport", "40000") + R"(,{"dnat":{"family":"ip","addr":"10.0.0.1","port":5353}})");
    const std::string objects =
        nat + base("in", "input", 0) + rule("in", 2, payload("udp", "dport", "5353") + "," + drop);
    PacketFacts facts = media();
    EXPECT_EQ(names(find_dropping_rule(ruleset(objects), facts)), "inet t in handle 2") << "translated perhaps";
    facts.translated = false;
    EXPECT_EQ(names(find_dropping_rule(ruleset(objects), facts)), "none");
    facts.translated.reset();
    facts.ct_states = CtNew;
    EXPECT_EQ(names(find_dropping_rule(ruleset(objects), facts)), "one of: inet t nat handle 4, inet t in handle 2");
}

TEST(DroppingRule, TheDevicesOfIngress) {
    const std::string objects =
        chain("dev", R"(,"type":"filter","hook":"ingress","dev":"eth0","prio":0,"policy":"drop")") +
        base("in", "input", 0, "drop");
    EXPECT_EQ(names(find_dropping_rule(ruleset(objects), media())), "inet t dev policy drop");
    PacketFacts other = media();
    other.input = "bond0"; // eth0 may be below it
    EXPECT_EQ(names(find_dropping_rule(ruleset(objects), other)),
              "one of: inet t dev policy drop, inet t in policy drop");
}

TEST(DroppingRule, WordsCommentAndGaps) {
    const std::string listing =
        "table inet t { # handle 1\n\tchain in { # handle 1\n"
        "\t\ttype filter hook input priority filter; policy accept;\n"
        "\t\tudp dport { 53,\n\t\t\t     40000 } drop comment \"no calls # handle 7\" # handle 2\n"
        "\t}\n}\n";
    const std::string objects =
        base("in", "input", 0) +
        object("rule", R"("chain":"in","handle":2,"comment":"no calls","expr":[{"drop":null}])");
    const auto verdict = find_dropping_rule(ruleset(objects, listing), media());
    ASSERT_EQ(verdict.points.size(), 1U);
    EXPECT_EQ(verdict.points[0].text, "udp dport { 53, 40000 } drop comment \"no calls # handle 7\"");
    EXPECT_EQ(verdict.points[0].comment, "no calls");
    EXPECT_EQ(verdict.points[0].hook, "input");
    const auto gap = parse_ruleset({.json = R"({"nftables":[]})", .gaps = {"iptables-legacy could not be read"}});
    EXPECT_EQ(gap->gaps().size(), 1U);
    EXPECT_FALSE(gap->filters_anything());
}

TEST(DroppingRule, WhatIsNotKnownMayHaveDropped) {
    const std::string objects = base("in", "input", 0) + rule("in", 2, R"({"future":{"x":1}})") + rule("in", 3, drop);
    EXPECT_EQ(names(find_dropping_rule(ruleset(objects), media())), "one of: inet t in handle 2, inet t in handle 3");
    const std::string target = base("in", "input", 0) + rule("in", 2, R"({"xt":{"type":"target","name":"REJECT"}})");
    EXPECT_EQ(names(find_dropping_rule(ruleset(target), media())), "inet t in handle 2");
}

TEST(DroppingRule, NoDocumentMakesItFail) {
    EXPECT_FALSE(parse_ruleset({.json = "{"}).has_value());
    EXPECT_FALSE(parse_ruleset({.json = "[]"}).has_value());
    for (const char* odd : {R"({"nftables":[1,"x",null,{"rule":[]},{"chain":{"name":5}},{"set":{"elem":{"elem":3}}}]})",
                            R"({"nftables":[{"chain":{"family":"ip","table":"t","name":"c","hook":"input","prio":"x"}},
                                {"rule":{"family":"ip","table":"t","chain":"c","handle":"x","expr":[{"match":{}},{"match":{"op":"==","left":{"&":[]},"right":{"range":[1]}}},
                                {"vmap":{"key":5,"data":[]}},{"counter":{"packets":-1}},7,{}]}}]})"}) {
        const auto odd_ruleset = parse_ruleset({.json = odd});
        ASSERT_TRUE(odd_ruleset.has_value());
        (void)find_dropping_rule(*odd_ruleset, media());
    }
    // The kernel has no circles; a document may.
    const std::string circle = chain("sub") + rule("sub", 9, R"({"jump":{"target":"sub"}})") +
                               rule("sub", 10, R"({"jump":{"target":"sub"}})") + base("in", "input", 0) +
                               rule("in", 2, R"({"jump":{"target":"sub"}})");
    EXPECT_NE(find_dropping_rule(ruleset(circle), media()).certainty, Certainty::Certain);
}

TEST(DroppingRule, FiftyThousandElementsCostNothingAPacket) {
    std::string elements;
    for (unsigned at = 0; at < 50'000; at++)
        elements += fmt::format(R"({}{{"prefix":{{"addr":"{}.{}.{}.0","len":24}}}})", at ? "," : "", 60 + at / 10'000,
                                at / 100 % 100, at % 100);
    const Ruleset all =
        ruleset(object("set", R"("name":"a","type":"ipv4_addr","elem":[)" + elements + "]") + base("in", "input", 0) +
                rule("in", 2, payload("ip", "saddr", R"("@a")") + "," + drop) + rule("in", 3, drop));
    const std::clock_t began = std::clock();
    for (int count = 0; count < 1000; count++)
        ASSERT_EQ(find_dropping_rule(all, media()).points[0].handle, 3U);
    EXPECT_LT(std::clock() - began, 5 * CLOCKS_PER_SEC); // 5 ms each; it is about 5 us
}

} // namespace
} // namespace kudo::test
