// SPDX-License-Identifier: MIT
// Rulesets as they are in the kernel: of nftables, iptables-nft and iptables-legacy, and what conntrack knows.
#include <gtest/gtest.h>

#include <netinet/in.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>

#include <fmt/format.h>

#include "agent/firewall/conntrack.h"
#include "agent/firewall/dropping_rule.h"
#include "tests/component/line.h"

namespace kudo::test {
namespace {

constexpr uint16_t port = 40000, stun = 3478;

class Firewall : public testing::Test {
protected:
    void SetUp() override {
        if (!line_.why_not().empty()) GTEST_SKIP() << line_.why_not();
        host_ = Line::host_socket(address("10.77.0.2"), port);
        far_ = line_.far_socket(address("10.77.0.1"), stun);
    }

    static PacketFacts incoming() {
        PacketFacts facts;
        facts.protocol = IPPROTO_UDP;
        facts.source = address("10.77.0.1");
        facts.destination = address("10.77.0.2");
        facts.source_port = stun;
        facts.destination_port = port;
        facts.input = "eth0";
        facts.mark = 0;
        facts.length = 128;
        return facts;
    }
    static PacketFacts with_conntrack(PacketFacts facts) {
        const auto added = add_conntrack_facts(facts);
        if (!added) throw std::runtime_error(added.error().message);
        return facts;
    }
    static Ruleset read() {
        auto ruleset = read_ruleset();
        if (!ruleset) throw std::runtime_error(ruleset.error().message);
        return std::move(*ruleset);
    }
    void receive(unsigned packets) const {
        for (unsigned count = 0; count < packets; count++)
            send_datagram(far_, address("10.77.0.2"), port, 100);
    }
    [[nodiscard]] unsigned received() const {
        unsigned count = 0;
        char buffer[2000];
        while (recv(host_.get(), buffer, sizeof buffer, MSG_DONTWAIT) > 0)
            count++;
        return count;
    }
    // The one that drops the media coming in, which must be dropped.
    std::string dropper() {
        receive(5);
        EXPECT_EQ(received(), 0U);
        const auto verdict = find_dropping_rule(read(), with_conntrack(incoming()));
        std::string names;
        for (const DropPoint& point : verdict.points)
            names += (names.empty() ? "" : ", ") + name_of(point) + ": " + point.text;
        return names;
    }

    Line line_;
    Fd host_, far_;
};

TEST_F(Firewall, ARuleOfNftablesIsNamedAsNftPrintsIt) {
    EXPECT_FALSE(read().filters_anything());
    Line::load_rules("table inet filter {\n set media { type ipv4_addr; flags interval; elements = { 10.77.0.0/24 } }\n"
                     " chain input { type filter hook input priority filter; policy accept;\n"
                     "  ct state established,related accept\n  ct state invalid drop\n"
                     "  ip saddr @media udp dport 30000-50000 drop comment \"no calls\"\n }\n}\n");
    EXPECT_TRUE(read().filters_anything());
    EXPECT_EQ(dropper(), "inet filter input handle 5: ip saddr @media udp dport 30000-50000 drop comment \"no calls\"");
    Line::load_rules("flush ruleset\ntable inet filter {\n"
                     " chain input { type filter hook input priority filter; policy drop; iif lo accept\n }\n}\n");
    EXPECT_EQ(dropper(), "inet filter input policy drop: policy drop");
}

TEST_F(Firewall, RulesOfIptablesNftAreToldByIptablesNft) {
    Line::in_host("iptables-nft -A INPUT -m conntrack --ctstate ESTABLISHED -j ACCEPT");
    Line::in_host("iptables-nft -A INPUT -p udp -m multiport --dports 53,40001 -j DROP");
    Line::in_host("iptables-nft -A INPUT -p udp -m multiport --dports 53,40000 -m conntrack --ctstate NEW -j REJECT");
    const std::string name = dropper();
    EXPECT_EQ(name.substr(0, name.find(':')), "ip filter INPUT handle 4") << name;
    EXPECT_NE(name.find("reject"), std::string::npos) << name;
}

TEST_F(Firewall, RulesOfIptablesLegacyAreFoundByTheirNumber) {
    Line::in_host("iptables-legacy -A INPUT -p tcp -j DROP");
    Line::in_host("iptables-legacy -A INPUT -s 10.77.0.0/24 -p udp --dport 40000 -m conntrack --ctstate NEW -j DROP");
    EXPECT_EQ(dropper(), "iptables-legacy ip filter INPUT rule 2: -A INPUT -s 10.77.0.0/24 -p udp -m udp --dport 40000 "
                         "-m conntrack --ctstate NEW -j DROP");
}

TEST_F(Firewall, ReadingChangesNothing) {
    Line::load_rules("table inet filter {\n chain input { type filter hook input priority filter; policy accept;\n"
                     "  udp dport 40000 counter drop\n }\n}\n");
    receive(3);
    const std::string before = Line::in_host("nft -a list ruleset");
    (void)read();
    (void)with_conntrack(incoming());
    EXPECT_EQ(Line::in_host("nft -a list ruleset"), before);
}

TEST_F(Firewall, ConntrackTellsTheStatesOfAFlow) {
    // Before there is any rule of it conntrack is not at work.
    Line::load_rules("table inet filter {\n chain input { type filter hook input priority filter; ct state new\n }\n"
                     " chain output { type filter hook output priority filter; ct state new\n }\n}\n");
    EXPECT_EQ(with_conntrack(incoming()).ct_states, CtNew | CtUntracked);
    EXPECT_FALSE(with_conntrack(incoming()).translated);
    send_datagram(host_, address("10.77.0.1"), stun, 100); // the host asks
    EXPECT_EQ(with_conntrack(incoming()).ct_states, CtEstablished);
    EXPECT_EQ(with_conntrack(incoming()).translated, false);
    PacketFacts out = incoming();
    std::swap(out.source, out.destination);
    std::swap(out.source_port, out.destination_port);
    EXPECT_EQ(with_conntrack(out).ct_states, CtEstablished | CtNew);
    const auto table = read_conntrack();
    ASSERT_TRUE(table.has_value() && table->has_value());
    EXPECT_EQ((*table)->count, 1U);
    EXPECT_GT((*table)->max, 0U);
    EXPECT_FALSE((*table)->is_full());
    EXPECT_EQ((*table)->invalid, 0U);
}

TEST_F(Firewall, ATranslatedFlowIsToldFromOneThatIsNot) {
    Line::load_rules("table ip nat {\n chain pre { type nat hook prerouting priority dstnat;\n"
                     "  udp dport 40001 redirect to :40000\n }\n}\n");
    send_datagram(far_, address("10.77.0.2"), 40001, 100);
    PacketFacts facts = incoming();
    facts.destination_port = 40001;
    EXPECT_EQ(with_conntrack(facts).translated, true);
}

TEST_F(Firewall, WithoutCapabilitiesTheErrorSaysWhichIsMissing) {
    const int child = fork();
    if (child == 0) {
        if (setgid(65534) != 0 || setuid(65534) != 0) _exit(2);
        const auto ruleset = read_ruleset();
        const bool right = !ruleset && ruleset.error().kind == ErrorKind::NotPermitted &&
                           ruleset.error().message.find("CAP_NET_ADMIN") != std::string::npos;
        if (!right) fmt::print("{}\n", ruleset ? "was read" : ruleset.error().message);
        _exit(right ? 0 : 1);
    }
    int status = 0;
    waitpid(child, &status, 0);
    EXPECT_EQ(WEXITSTATUS(status), 0);
}

TEST_F(Firewall, FiftyThousandElementsAreReadInAMoment) {
    std::string elements;
    for (unsigned at = 0; at < 50'000; at++)
        elements += fmt::format("{}{}.{}.{}.0/24", at ? ", " : "", 60 + at / 10'000, at / 100 % 100, at % 100);
    Line::load_rules(
        "table inet filter {\n set big { type ipv4_addr; flags interval; elements = { " + elements +
        " } }\n chain input { type filter hook input priority filter; policy drop; ip saddr @big accept\n }\n}\n");
    const auto began = std::chrono::steady_clock::now();
    const Ruleset ruleset = read();
    const auto read_at = std::chrono::steady_clock::now();
    for (int count = 0; count < 100; count++)
        EXPECT_EQ(find_dropping_rule(ruleset, incoming()).points.size(), 1U);
    const auto ended = std::chrono::steady_clock::now();
    using Milliseconds = std::chrono::duration<double, std::milli>;
    fmt::print("read in {:.0f} ms, {:.3f} ms a packet\n", Milliseconds(read_at - began).count(),
               Milliseconds(ended - read_at).count() / 100);
    EXPECT_LT(ended - read_at, std::chrono::seconds(5));
}

} // namespace
} // namespace kudo::test
