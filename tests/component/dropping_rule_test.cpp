// SPDX-License-Identifier: MIT
// Which rule of a random ruleset dropped a flow's packets, compared with what the kernel itself tells (nftrace).
#include <gtest/gtest.h>

#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstdlib>
#include <iostream>

#include <fmt/format.h>

#include "agent/firewall/conntrack.h"
#include "agent/firewall/dropping_rule.h"
#include "tests/component/line.h"
#include "tests/component/random_iptables.h"
#include "tests/component/random_ruleset.h"
#include "tests/component/rule_trace.h"
#include "tests/support/temporary_folder.h"

namespace kudo::test {
namespace {

constexpr unsigned packets = 8;
constexpr std::size_t payload = 100;

// Keeps conntrack at work, and has the kernel tell of what becomes of packets.
constexpr const char* trace_rules = "table inet traced {\n"
                                    " chain in { type filter hook prerouting priority -450; meta nftrace set 1; }\n"
                                    " chain out { type filter hook output priority -450; meta nftrace set 1; }\n"
                                    " chain state { type filter hook input priority 450; ct state new; }\n"
                                    "}\n";

struct Tally {
    unsigned dropped = 0, found = 0, listed = 0;
};

class DroppingRule : public testing::Test {
protected:
    void SetUp() override {
        if (!line_.why_not().empty()) GTEST_SKIP() << line_.why_not();
        for (const char* words :
             {"ip address add 52.200.60.17/32 dev eth0", "ip -6 address add 2600:1f18::17/128 dev eth0 nodad"})
            (void)line_.in_far(words);
    }

    static PacketFacts random_flow(std::mt19937_64& random, uint16_t port) {
        PacketFacts facts;
        const bool v4 = random() % 3 != 0;
        facts.path = random() % 2 ? PacketPath::In : PacketPath::Out;
        facts.protocol = random() % 4 != 0 ? IPPROTO_UDP : IPPROTO_TCP;
        facts.source = address(v4 ? "52.200.60.17" : "2600:1f18::17");
        facts.destination = address(v4 ? "10.77.0.2" : "fd77::2");
        facts.source_port = facts.protocol == IPPROTO_UDP ? 3478 : 443;
        facts.destination_port = port;
        if (facts.path == PacketPath::Out) {
            std::swap(facts.source, facts.destination);
            std::swap(facts.source_port, facts.destination_port);
        }
        (facts.path == PacketPath::In ? facts.input : facts.output) = "eth0";
        facts.mark = 0;
        facts.dscp = 0;
        facts.length = (v4 ? 20 : 40) + (facts.protocol == IPPROTO_UDP ? 8 + payload : 40); // a SYN has options
        if (facts.protocol == IPPROTO_TCP) facts.tcp_flags = 2;
        if (facts.path == PacketPath::In) facts.packet_type = 0;
        return facts;
    }

    Fd open_at(const PacketFacts& facts, bool source) const {
        const Address& at = source ? facts.source : facts.destination;
        const uint16_t port = (source ? facts.source_port : facts.destination_port).value_or(0);
        const SocketOptions options{.type = facts.protocol == IPPROTO_UDP ? SOCK_DGRAM : SOCK_STREAM};
        const bool in_host = (facts.path == PacketPath::Out) == source;
        return in_host ? Line::host_socket(at, port, options) : line_.far_socket(at, port, options);
    }

    // As the flow's own; TCP: what opens a connection.
    static void send(const Fd& from, const PacketFacts& facts) {
        const uint16_t port = facts.destination_port.value_or(0);
        if (facts.protocol == IPPROTO_UDP) {
            for (unsigned count = 0; count < packets; count++)
                send_datagram(from, facts.destination, port, payload);
            return;
        }
        sockaddr_storage storage{};
        const unsigned length = to_sockaddr(facts.destination, port, &storage);
        fcntl(from.get(), F_SETFL, O_NONBLOCK);
        (void)connect(from.get(), reinterpret_cast<const sockaddr*>(&storage), length);
    }

    static Ruleset read() {
        auto ruleset = read_ruleset();
        if (!ruleset) throw std::runtime_error(ruleset.error().message);
        return std::move(*ruleset);
    }

    static std::string described(const RuleVerdict& verdict) {
        std::string text = verdict.why + "\n";
        for (const DropPoint& point : verdict.points)
            text += fmt::format("  {} ({}): {}\n", name_of(point), point.hook, point.text);
        return text;
    }

    // One name is only right if it is the only one that dropped; several if all that dropped are among them.
    static bool is_right(const RuleVerdict& verdict, const std::map<TracedDrop, unsigned>& truth) {
        std::set<TracedDrop> named;
        for (const DropPoint& point : verdict.points)
            named.emplace(point.table, point.chain, point.handle);
        const bool all = std::ranges::all_of(truth, [&](const auto& drop) { return named.contains(drop.first); });
        return all && (verdict.certainty != RuleVerdict::Certainty::Certain || truth.size() == 1);
    }
    static bool is_found(const RuleVerdict& verdict, const std::map<TracedDrop, unsigned>& truth) {
        // Where several rules dropped packets of the flow, exactly those.
        return verdict.certainty == RuleVerdict::Certainty::Certain ||
               (truth.size() > 1 && verdict.points.size() == truth.size());
    }

    void judge(const RuleVerdict& verdict, const std::map<TracedDrop, unsigned>& truth, const std::string& about) {
        std::string really;
        for (const auto& [drop, count] : truth)
            really +=
                fmt::format("  {} {} {}: {} times\n", std::get<0>(drop), std::get<1>(drop), std::get<2>(drop), count);
        const bool right = is_right(verdict, truth), found = right && is_found(verdict, truth);
        tally_.dropped++;
        tally_.found += found ? 1 : 0;
        tally_.listed += right && !found ? 1 : 0;
        EXPECT_TRUE(right) << about << "really:\n" << really << described(verdict);
        if (!found && std::getenv("KUDO_TEST_VERBOSE"))
            std::cout << about << "really:\n" << really << described(verdict);
    }

    // With less known the verdict may be weaker, but not wrong.
    static void expect_right_with_less(const Ruleset& now, const PacketFacts& facts, std::mt19937_64& random,
                                       const std::map<TracedDrop, unsigned>& truth, const std::string& about) {
        for (int time = 0; time < 6; time++) {
            PacketFacts less = facts;
            const uint64_t bits = random();
            const auto forget = [&](int bit, auto& fact) {
                if (bits >> bit & 1) fact.reset();
            };
            forget(0, less.mark);
            forget(1, less.dscp);
            forget(2, less.length);
            forget(3, less.ct_states);
            forget(4, less.translated);
            forget(5, less.input);
            forget(6, less.output);
            forget(7, less.tcp_flags);
            forget(8, less.packet_type);
            forget(9, less.source_port);
            forget(10, less.destination_port);
            const RuleVerdict verdict = find_dropping_rule(now, less);
            EXPECT_TRUE(is_right(verdict, truth)) << about << "forgotten: " << (bits & 2047) << "\n"
                                                  << described(verdict);
        }
    }

    enum class Tool { Nft, IptablesNft };

    static bool load(Tool tool, const std::string& rules) {
        if (tool == Tool::Nft) return Line::accepts_rules(rules);
        const TemporaryFolder folder;
        return run_program({"iptables-nft-restore", folder.write("rules", rules)}).status == 0;
    }

    void try_one(Tool tool, uint64_t seed, uint16_t port) {
        std::mt19937_64 random(seed);
        PacketFacts facts = random_flow(random, port);
        if (tool == Tool::IptablesNft && facts.source.family == Family::IPv6) return;
        const bool answered = facts.protocol == IPPROTO_UDP && random() % 2;
        const Fd from = open_at(facts, true), to = open_at(facts, false);
        Line::load_rules(std::string("flush ruleset\n") + trace_rules);
        if (answered) // conntrack has seen both directions
            for (int round = 0; round < 2; round++) {
                send_datagram(to, facts.source, *facts.source_port, payload);
                send_datagram(from, facts.destination, *facts.destination_port, payload);
            }
        const std::string rules = tool == Tool::Nft ? RandomRuleset(seed, facts).text() : random_iptables(seed, facts);
        if (!load(tool, rules)) return; // two protocols in one rule
        const Ruleset before = read();
        const auto conntrack = read_conntrack();
        ASSERT_TRUE(conntrack.has_value() && conntrack->has_value());
        (void)trace_.drops_of(facts);
        send(from, facts);
        // Other traffic that counts as well.
        for (unsigned count = random() % 6; count > 0; count--)
            send_datagram(stranger_, address("10.77.0.2"), 9, payload);
        const auto truth = trace_.drops_of(facts);
        if (truth.empty()) return;
        ASSERT_TRUE(add_conntrack_facts(facts, &**conntrack).has_value());
        const Ruleset now = read();
        uint64_t drops = 0;
        for (const auto& [drop, count] : truth)
            drops += count;
        const std::string about =
            fmt::format("seed {}: {} {} {} -> {}{}\n{}", seed, facts.path == PacketPath::In ? "in" : "out",
                        facts.protocol == IPPROTO_UDP ? "udp" : "tcp", facts.source.text(), facts.destination.text(),
                        answered ? " (answered)" : "", rules);
        judge(find_dropping_rule(now, facts, {.drops = drops, .before = &before}), truth, about);
        expect_right_with_less(now, facts, random, truth, about);
    }

    void try_many(Tool tool, uint64_t seed, unsigned long rulesets) {
        std::cout << "KUDO_TEST_SEED=" << seed << "\n";
        for (unsigned at = 0; tally_.dropped < rulesets && !HasFatalFailure(); at++)
            try_one(tool, seed + at, static_cast<uint16_t>(20000 + at % 20000));
        std::cout << fmt::format("of {} rulesets that dropped: found {}, among the candidates {}\n", tally_.dropped,
                                 tally_.found, tally_.listed);
    }

    Line line_;
    Fd stranger_ = line_.why_not().empty() ? line_.far_socket(address("10.77.0.1"), 5353) : Fd();
    RuleTrace trace_;
    Tally tally_;
};

// Of the same rulesets each time: the share is a property of them.
uint64_t random_seed() {
    const char* seed = std::getenv("KUDO_TEST_SEED");
    return seed ? std::strtoull(seed, nullptr, 10) : std::random_device()();
}
unsigned long rulesets(unsigned long usual) {
    const char* wanted = std::getenv("KUDO_RULESETS");
    return wanted ? std::strtoul(wanted, nullptr, 10) : usual;
}

// Of the same rulesets each time: the share is a property of them.
TEST_F(DroppingRule, OfTwoHundredRulesetsIsFoundAndNeverAnother) {
    try_many(Tool::Nft, 1, 200);
    EXPECT_GE(tally_.found * 100, tally_.dropped * 95);
}

TEST_F(DroppingRule, OfRandomRulesetsIsNeverAnother) {
    try_many(Tool::Nft, random_seed(), rulesets(100));
}

TEST_F(DroppingRule, OfRandomRulesOfIptablesIsNeverAnother) {
    try_many(Tool::IptablesNft, random_seed(), rulesets(50));
}

} // namespace
} // namespace kudo::test
