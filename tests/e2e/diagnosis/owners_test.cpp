// SPDX-License-Identifier: MIT
// Whose decision a drop was, as `stats` tells it; and that following its advice ends the drops.
// Invariant: each cause is a real one; what the advice changes is the named rule, socket, queue or setting and nothing
// else.
#include <sys/socket.h>
#include <unistd.h>

#include <thread>

#include <fmt/format.h>

#include "tests/e2e/drops/drops_fixture.h"

namespace kudo::test {
namespace {

constexpr unsigned many = 60;
const Endpoint here{host_address, 40001}, there{media_address, 3478};

class DropOwner : public DropsTest {
protected:
    // The host has sent on the flow: what comes in then is asked for.
    void SetUp() override {
        DropsTest::SetUp();
        if (!test_) return;
        const Fd socket = udp_socket(test_->host, here), far = udp_socket(test_->far, there);
        send_datagrams(socket.get(), there, far.get(), 1, 100);
    }
    // A firewall of this host may refuse it, of which the sender is told.
    void send_out(unsigned count = many) const {
        const Fd socket = udp_socket(test_->host, here);
        for (unsigned i = 0; i < count; ++i)
            try {
                send_datagram(socket.get(), there, Bytes(100, 1));
            } catch (const std::system_error& error) {
                if (error.code().value() != EPERM) throw;
            }
    }
    void send_in(unsigned count = many) const {
        const Fd socket = udp_socket(test_->far, there);
        flood(socket.get(), here, count, 100);
    }
    nlohmann::json all_rows() const { return test_->stats().at("drops"); }
    // Packets whose namespace is not known may be another test's.
    static bool is_own_loss(const nlohmann::json& drop) {
        return drop.at("loss") == true && drop.at("namespace_known") == true;
    }
    // The only loss of this layer. Waits for it: checksums and neighbours take their time.
    nlohmann::json row(const std::string& layer) const {
        nlohmann::json found;
        for (int attempt = 0; attempt < 50 && found.is_null(); ++attempt, usleep(100'000))
            for (const auto& drop : all_rows())
                if (drop.at("layer") == layer && is_own_loss(drop)) found = drop;
        leave_text();
        EXPECT_FALSE(found.is_null()) << test_->stats().at("drops").dump(1);
        return found;
    }
    uint64_t lost() const {
        uint64_t packets = 0;
        for (const auto& drop : all_rows())
            if (is_own_loss(drop))
                for (const char* direction : {"ingress", "egress"})
                    packets += drop.at(direction).at("packets").get<uint64_t>();
        return packets;
    }
    // The verdict names the layer, and what it says can be told from the row.
    void expect_verdict(const std::string& where, const std::string& layer) const {
        const auto verdict = test_->stats().at("verdict");
        EXPECT_EQ(verdict.at("where"), where) << verdict.dump(1);
        EXPECT_EQ(verdict.at("layer"), layer) << verdict.dump(1);
        EXPECT_FALSE(verdict.at("advice").is_null()) << verdict.dump(1);
        EXPECT_FALSE(verdict.at("command").is_null()) << verdict.dump(1);
    }
    // No drop more of what `again` sends.
    template <typename Again> void expect_ended(const Again& again) const {
        const uint64_t before = lost();
        again();
        EXPECT_EQ(lost(), before) << test_->stats().at("drops").dump(1);
    }
};

TEST_F(DropOwner, IsTheRuleWithItsHandle) {
    nft("add table inet t; add chain inet t in { type filter hook input priority 0; }; "
        "add rule inet t in tcp dport 22 accept; add rule inet t in udp sport 3478 counter drop comment \"no voip\"; "
        "add rule inet t in udp sport 53 drop");
    const Fd receiver = udp_socket(test_->host, here);
    send_in();
    const auto owner = row("firewall").at("owner");
    EXPECT_EQ(owner.at("kind"), "rule");
    ASSERT_EQ(owner.at("certain"), true) << owner.dump(1);
    const auto rule = owner.at("rules").at(0);
    EXPECT_EQ(rule.at("comment"), "no voip");
    EXPECT_EQ(rule.at("chain"), "in");
    expect_verdict("host", "firewall");
    // The command shows it, and the handle is that of the rule.
    const std::string command = row("firewall").at("command");
    EXPECT_NE(test_->in_host({"sh", "-c", command}).find("no voip"), std::string::npos) << command;
    nft(fmt::format("delete rule inet t in handle {}", rule.at("handle").get<uint64_t>()));
    expect_ended([&] { send_in(); });
}

TEST_F(DropOwner, IsThePolicyOfTheChain) {
    nft("add table inet t; add chain inet t in { type filter hook input priority 0; policy drop; }; "
        "add rule inet t in tcp dport 22 accept");
    const Fd receiver = udp_socket(test_->host, here);
    send_in();
    const auto owner = row("firewall").at("owner");
    ASSERT_EQ(owner.at("certain"), true) << owner.dump(1);
    EXPECT_TRUE(owner.at("rules").at(0).at("handle").is_null());
    EXPECT_EQ(owner.at("text"), "inet t in policy drop");
    nft(fmt::format("add rule inet t in ip saddr {} accept", media_address));
    expect_ended([&] { send_in(); });
}

TEST_F(DropOwner, IsTheRuleOnTheWayOut) {
    nft("add table inet t; add chain inet t out { type filter hook output priority 0; }; "
        "add rule inet t out ip daddr 3.0.0.0/8 udp dport 3000-4000 reject");
    send_out();
    const auto drop = row("firewall");
    ASSERT_EQ(drop.at("owner").at("certain"), true) << drop.dump(1);
    EXPECT_EQ(drop.at("egress").at("packets"), many);
    expect_verdict("host", "firewall");
    nft(fmt::format("delete rule inet t out handle {}",
                    drop.at("owner").at("rules").at(0).at("handle").get<uint64_t>()));
    expect_ended([&] { send_out(); });
}

TEST_F(DropOwner, WhatCannotBeToldIsSeveralRules) {
    nft("add table inet t; add chain inet t in { type filter hook input priority 0; }; "
        "add rule inet t in udp sport 3478 limit rate over 10/second drop; "
        "add rule inet t in udp sport 3478 limit rate over 20/second drop");
    const Fd receiver = udp_socket(test_->host, here);
    send_in();
    const auto owner = row("firewall").at("owner");
    EXPECT_EQ(owner.at("certain"), false) << owner.dump(1);
    EXPECT_EQ(owner.at("rules").size(), 2U) << owner.dump(1);
}

TEST_F(DropOwner, IsTheProcessWhoseBufferIsFull) {
    const Fd receiver = udp_socket(test_->host, here);
    const int small = 4096;
    ASSERT_EQ(setsockopt(receiver.get(), SOL_SOCKET, SO_RCVBUF, &small, sizeof small), 0);
    send_in();
    const auto owner = row("socket").at("owner");
    EXPECT_EQ(owner.at("kind"), "socket");
    ASSERT_FALSE(owner.at("processes").empty()) << owner.dump(1);
    EXPECT_EQ(owner.at("processes").at(0).at("pid"), getpid());
    EXPECT_EQ(owner.at("receive_buffer"), 2 * small);
    expect_verdict("application", "socket");
    const int large = 200'000;
    ASSERT_EQ(setsockopt(receiver.get(), SOL_SOCKET, SO_RCVBUF, &large, sizeof large), 0);
    take_all(receiver.get());
    expect_ended([&] { send_in(); });
}

TEST_F(DropOwner, IsNoProcessWhereNoneListens) {
    send_in();
    // What comes within seconds after an application has closed its socket is nobody's loss.
    std::this_thread::sleep_for(std::chrono::milliseconds(3300));
    send_in();
    const auto drop = row("socket");
    EXPECT_EQ(drop.at("reason"), "NO_SOCKET");
    EXPECT_NE(drop.at("advice").get<std::string>().find("40001"), std::string::npos) << drop.at("advice");
    expect_verdict("application", "socket");
    const Fd receiver = udp_socket(test_->host, here);
    expect_ended([&] { send_in(); });
}

TEST_F(DropOwner, IsTheClassOfOurOwnQueue) {
    enable({"--uplink", "1mbit"});
    send_out(5000);
    const auto owner = row("queue").at("owner");
    EXPECT_EQ(owner.at("kind"), "queue");
    EXPECT_EQ(owner.at("device"), "eth0");
    EXPECT_EQ(owner.at("carries"), "video") << "media that is not known to be audio";
    EXPECT_NE(owner.at("queue").get<std::string>().find("4b55:"), std::string::npos) << owner.dump(1);
    expect_verdict("host", "queue");
}

TEST_F(DropOwner, IsSomebodyElsesQueue) {
    test_->in_host(
        {"tc", "qdisc", "add", "dev", "eth0", "root", "tbf", "rate", "8kbit", "burst", "1600", "limit", "2000"});
    send_out();
    const auto owner = row("queue").at("owner");
    EXPECT_EQ(owner.at("device"), "eth0");
    EXPECT_EQ(owner.at("queue").get<std::string>().substr(0, 3), "tbf") << owner.dump(1);
    test_->in_host({"tc", "qdisc", "del", "dev", "eth0", "root"});
    expect_ended([&] { send_out(); });
}

TEST_F(DropOwner, IsTheReversePathFilterThatDecides) {
    add_second_interface();
    sysctl("net/ipv4/conf/all/rp_filter", "1");
    test_->in_host({"ip", "route", "add", std::string(media_address) + "/32", "dev", "eth1"});
    const Fd receiver = udp_socket(test_->host, here);
    send_in();
    const auto owner = row("route").at("owner");
    EXPECT_EQ(owner.at("kind"), "setting");
    EXPECT_NE(owner.at("text").get<std::string>().find("net.ipv4.conf.all.rp_filter is 1"), std::string::npos)
        << owner.dump(1);
    expect_verdict("host", "route");
    sysctl("net/ipv4/conf/all/rp_filter", "2");
    expect_ended([&] { send_in(); });
}

TEST_F(DropOwner, IsTheNeighbourThatDoesNotAnswer) {
    test_->in_host({"ip", "route", "add", std::string(media_address) + "/32", "via", "10.77.0.99"});
    send_out(10);
    const auto owner = row("neighbour").at("owner");
    EXPECT_EQ(owner.at("kind"), "neighbour");
    EXPECT_NE(owner.at("text").get<std::string>().find("10.77.0.99"), std::string::npos) << owner.dump(1);
    expect_verdict("host", "neighbour");
    test_->in_host({"ip", "route", "del", std::string(media_address) + "/32"});
    expect_ended([&] { send_out(10); });
}

TEST_F(DropOwner, WhatNobodyAskedForIsNoLoss) {
    nft("add table inet t; add chain inet t in { type filter hook input priority 0; policy drop; }");
    const Fd socket = udp_socket(test_->far, {media_address, 3478});
    flood(socket.get(), {host_address, 40999}, 100, 100);
    EXPECT_EQ(row("firewall").at("flow").at("local_port"), 40999);
    const auto verdict = test_->stats().at("verdict");
    EXPECT_EQ(verdict.at("where"), "none") << verdict.dump(1);
    EXPECT_EQ(test_->agent({"status"}).status, 0);
}

TEST_F(DropOwner, StatusSaysWhatWasLostAndExitsWithFour) {
    nft("add table inet t; add chain inet t in { type filter hook input priority 0; }");
    const Fd receiver = udp_socket(test_->host, here);
    for (int i = 0; i < 20; ++i, take_all(receiver.get()))
        send_in(50);
    EXPECT_EQ(test_->agent({"status"}).status, 0) << test_->agent({"status"}).out;
    nft("add rule inet t in udp sport 3478 drop");
    send_in(9);
    Outcome few = test_->agent({"status"});
    EXPECT_EQ(few.status, 0) << few.out;
    EXPECT_NE(few.out.find("this host lost 0.89 %"), std::string::npos) << few.out;
    send_in(5);
    const Outcome more = test_->agent({"status"});
    EXPECT_EQ(more.status, 4) << more.out;
    EXPECT_NE(more.out.find("kudo-agent stats"), std::string::npos) << more.out;
}

} // namespace
} // namespace kudo::test
