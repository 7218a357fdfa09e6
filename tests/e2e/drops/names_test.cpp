// SPDX-License-Identifier: MIT
// Drops of flows that a name has made KUDO's: those of its ports, and of no other stranger.
#include "tests/e2e/drops/drops_fixture.h"

#include <netinet/in.h>

#include "tests/e2e/names/names_fixture.h"
#include "tests/support/test_host_inside.h"
#include "tests/support/tls_hello.h"

namespace kudo::test {
namespace {

constexpr unsigned many = 20;
constexpr std::size_t payload = 100, headers = 40; // IPv4 and TCP
constexpr const char* named = "18.156.200.9";

class DropsOfNames : public DropsTest {
protected:
    void SetUp() override {
        DropsTest::SetUp();
        if (IsSkipped()) return;
        nft("add table inet t; add chain inet t in { type filter hook input priority 0; }; "
            "add rule inet t in tcp sport { 443, 8445 } drop");
    }
    void from(const std::string& address, uint16_t port, uint16_t to = 50000) const {
        from_far(Ethernet{} / IPv4{.source = address, .destination = host_address} /
                     Tcp{.source_port = port, .destination_port = to, .flags = 0x10} / Payload(payload),
                 many);
    }
    void expect_losses(unsigned packets) const {
        const DropSums expected{
            {{"firewall", "NETFILTER_DROP", KUDO_INGRESS}, {packets, packets * (payload + headers)}}};
        EXPECT_EQ(losses_once(expected), expected) << text_of(drops());
    }
};

TEST_F(DropsOfNames, AreThoseOfItsPortsAtTheAddressesThatDnsGave) {
    const Endpoint host{host_address, 41000}, server{stranger_address, KUDO_DNS_PORT};
    from(named, 443); // nobody knows it yet
    const Fd near = udp_socket(test_->host, host), far = udp_socket(test_->far, server);
    look_up_between(near.get(), host, far.get(), server, "anvil.tokbox.com", {named}, 1);
    from(named, 443);
    from(named, 8445); // of no service of the name
    from("18.156.200.10", 443);
    from(media_address, 443);
    expect_losses(2 * many);
    for (const Drop& row : drops().rows) {
        if (!row.is_loss || row.flow->remote.text() != named) continue;
        EXPECT_EQ(row.flow->remote_port, 443);
        EXPECT_EQ(row.flow->local_port, 50000);
        EXPECT_EQ(row.flow->protocol, IPPROTO_TCP);
        return;
    }
    ADD_FAILURE() << text_of(drops());
}

// Before any program of kudo-agent has seen a packet of the flow.
TEST_F(DropsOfNames, AreThoseThatTheNameWouldDecideAboutNow) {
    const Endpoint host{host_address, 41000}, server{stranger_address, KUDO_DNS_PORT};
    nft("add chain inet t out { type filter hook output priority 0; }; add rule inet t out tcp dport { 443, 8445 } "
        "drop");
    const Fd near = udp_socket(test_->host, host), far = udp_socket(test_->far, server);
    look_up_between(near.get(), host, far.get(), server, "anvil.tokbox.com", {named}, 1);
    const auto connect = [&](const std::string& address, int port) {
        return inside<int>(test_->host, [&] {
            return run_program({"curl", "--silent", "--max-time", "1", fmt::format("https://{}:{}/", address, port)})
                .status;
        });
    };
    for (const int port : {443, 8445})
        for (const char* address : {named, "18.156.200.10"})
            EXPECT_NE(connect(address, port), 0);
    unsigned rows = 0;
    for (const Drop& row : drops().rows) {
        if (!row.is_loss || !row.namespace_known) continue; // of another test's
        rows++;
        EXPECT_EQ(row.flow->remote.text(), named);
        EXPECT_EQ(row.flow->remote_port, 443);
        EXPECT_GT(row.counters[KUDO_EGRESS].packets, 0u);
    }
    EXPECT_GT(rows, 0u) << text_of(drops());
}

TEST_F(DropsOfNames, AreThoseOfTheConnectionThatTlsNamed) {
    const FrameSender sender(test_->host, "eth0");
    const auto send = [&](uint8_t flags, uint32_t sequence, const Bytes& data) {
        sender.send((Ethernet{} / IPv4{.source = host_address, .destination = named} /
                     Tcp{.source_port = 50000, .destination_port = 443, .sequence = sequence, .flags = flags} /
                     Raw{.bytes = data})
                        .bytes());
    };
    send(KUDO_TCP_SYN, 1000, {});
    send(KUDO_TCP_ACK, 1001, client_hello("anvil.tokbox.com"));
    from(named, 443);
    from(named, 443, 50001); // another connection to the same address
    expect_losses(many);
    enable({"--teams"}); // the row is of an older generation then
    from(named, 443);
    expect_losses(2 * many);
}

// The row stays until it is evicted, whatever later policies make of the flow.
TEST_F(DropsOfNames, AreNotThoseOfAFlowThatNoServiceHasAnyMore) {
    const Endpoint host{host_address, 41000}, server{stranger_address, KUDO_DNS_PORT};
    enable({"--teams"});
    const Fd near = udp_socket(test_->host, host), far = udp_socket(test_->far, server);
    look_up_between(near.get(), host, far.get(), server, "teams-bot.kudoway.com", {named}, 1);
    from(named, 8445);
    expect_losses(many);
    enable();
    from(named, 8445);
    from(named, 8445);
    expect_losses(many);
}

} // namespace
} // namespace kudo::test
