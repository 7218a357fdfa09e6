// SPDX-License-Identifier: MIT
// Clients behind a host that masquerades: what is counted, marked and queued on its uplink, and what its own LAN side
// adds where that is watched too.
// Invariant: judged by what the far end received.
#include "tests/e2e/gateways/gateway_fixture.h"

namespace kudo::test {
namespace {

using Names = std::vector<std::string>;
constexpr uint16_t client_port = 50100; // of both clients: NAT must tell them apart

class NatGateway : public GatewayTest {
protected:
    void SetUp() override {
        GatewayTest::SetUp();
        if (IsSkipped() || HasFatalFailure()) return;
        put_clients();
        masquerade();
    }
    // What came at the far end from this client's socket, which was answered with `answers` datagrams of 100 bytes.
    struct Sent {
        uint16_t port = 0; // of the host, by which the client's flow left
        uint64_t packets = 0;
    };
    Sent exchange(const Client& from, unsigned count, unsigned answers) const {
        const Endpoint media{media_address, 3478};
        const Fd near = udp_socket(from.space, {from.address, client_port}), far = udp_socket(test_->far, media);
        Capture capture(test_->far, "eth0", 64);
        send_datagrams(near.get(), media, far.get(), count, 200);
        Sent sent;
        for (const Frame& frame : capture.finish()) {
            const auto seen = see_frame(frame.bytes);
            if (!seen || frame.outgoing || seen->destination_port != media.port) continue;
            EXPECT_EQ(seen->source, host_address);
            sent.port = seen->source_port;
            sent.packets++;
        }
        send_datagrams(far.get(), {host_address, sent.port}, near.get(), answers, 100);
        return sent;
    }
};

TEST_F(NatGateway, ClientsAreCountedOnTheUplinkByTheHostsAddressAndNatsPort) {
    enable();
    EXPECT_EQ(watched(), Names{"eth0"}) << "only what leads to KUDO";
    const Sent first = exchange(client(0), 100, 70), second = exchange(client(1), 50, 30);
    ASSERT_EQ(first.packets, 100u);
    ASSERT_EQ(second.packets, 50u);
    EXPECT_NE(first.port, second.port);

    const auto stats = test_->stats();
    ASSERT_EQ(stats.at("flows").size(), 2u) << stats.at("flows").dump(1);
    const auto flow1 = find_flow(stats, "udp", {host_address, first.port}, {media_address, 3478});
    const auto flow2 = find_flow(stats, "udp", {host_address, second.port}, {media_address, 3478});
    ASSERT_TRUE(flow1.is_object() && flow2.is_object()) << stats.at("flows").dump(1);
    EXPECT_EQ(flow1.at("interface"), "eth0");
    EXPECT_EQ(count_of(flow1.at("egress")), (Count{100, 100 * 228}));
    EXPECT_EQ(count_of(flow1.at("ingress")), (Count{70, 70 * 128}));
    EXPECT_EQ(count_of(flow2.at("egress")), (Count{50, 50 * 228}));
    EXPECT_EQ(count_of(flow2.at("ingress")), (Count{30, 30 * 128}));
    EXPECT_EQ(stats.at("services").at("media").at("egress").at("packets"), 150);
    EXPECT_EQ(stats.at("services").at("media").at("ingress").at("packets"), 100);
}

TEST_F(NatGateway, TcpIsCountedSegmentBySegment) {
    enable();
    Capture capture(test_->far, "eth0", 64);
    const TcpOutcome outcome = transfer_tcp(
        {client(0).space, {client(0).address, 41000}, test_->far, {region_address, 443}}, 300'000, 300'000);
    EXPECT_EQ(outcome.uploaded, 300'000u);
    EXPECT_EQ(outcome.downloaded, 300'000u);
    const auto frames = capture.finish();
    const auto flow = find_flow(test_->stats(), "tcp", {host_address, 41000}, {region_address, 443});
    ASSERT_TRUE(flow.is_object()) << test_->stats().at("flows").dump(1);
    // Each packet has 20 bytes of IP, 20 of TCP and 12 of timestamps; a SYN 8 more of options.
    const auto expect_bytes = [](const Count& count, uint64_t payload) {
        EXPECT_EQ(count.bytes, payload + count.packets * 52 + 8) << count;
        EXPECT_GE(count.packets, payload / 1448);
    };
    expect_bytes(count_of(flow.at("egress")), 300'000 + outcome.client_resent_bytes);
    expect_bytes(count_of(flow.at("ingress")), 300'000 + outcome.server_resent_bytes);
    EXPECT_EQ(flow.at("class"), "control");
    uint64_t unmarked = 0;
    for (const Frame& frame : frames)
        if (const auto seen = see_frame(frame.bytes);
            seen && !frame.outgoing && seen->destination_port == 443 && seen->dsfield >> 2 != 18)
            unmarked++;
    EXPECT_EQ(unmarked, 0u) << "AF21";
}

TEST_F(NatGateway, AudioAndVideoOfClientsAreMarkedOnTheWire) {
    enable();
    for (const std::size_t number : {0, 1})
        send_bundle(client(number).space, {client(number).address, client_port}, host_address);
    const auto stats = test_->stats();
    for (const auto& flow : stats.at("flows"))
        EXPECT_EQ(flow.at("rtp").size(), 2u) << flow;
}

TEST_F(NatGateway, AudioAndVideoOfClientsUseTheirClassesOfTheUplinksQueue) {
    enable({"--uplink", "50mbit"});
    const Bundle bundle = send_bundle(client(0).space, {client(0).address, client_port}, host_address);
    expect_sent_by("audio", bundle.ef);
    expect_sent_by("video", bundle.af41);
}

// tc runs behind the NAT on the way out and before it on the way in: a client's answer is the host's flow.
TEST_F(NatGateway, AnswersToClientsGetTheFirewallMark) {
    enable({"--firewall-mark", "0x4b/0xff"});
    test_->in_host({"nft", "add table inet fw; add chain inet fw through { type filter hook forward priority 0; }; "
                           "add counter inet fw answers; "
                           "add rule inet fw through meta mark and 0xff == 0x4b counter name answers"});
    exchange(client(0), 10, 40);
    const auto counters = nlohmann::json::parse(test_->in_host({"nft", "-j", "list", "counters"}));
    EXPECT_EQ(counters.at("nftables").back().at("counter").at("packets"), 40);
}

// On the LAN side KUDO's address is the source of what leaves and the destination of what comes in: no remote.
TEST_F(NatGateway, AWatchedLanSideCountsNothingTwice) {
    enable({"--interface", "eth0", "--interface", "lan0"});
    EXPECT_EQ(watched(), (Names{"eth0", "lan0"}));
    const Sent sent = exchange(client(0), 100, 70);
    const auto stats = test_->stats();
    EXPECT_EQ(stats.at("services").at("media").at("egress").at("packets"), 100);
    EXPECT_EQ(stats.at("services").at("media").at("ingress").at("packets"), 70);
    ASSERT_EQ(stats.at("flows").size(), 1u) << stats.at("flows").dump(1);
    EXPECT_EQ(stats.at("flows").at(0).at("local_port"), sent.port);
    EXPECT_GE(stats.at("reasons").at("stranger").at("ingress").at("packets"), 100) << "what comes in by lan0";
    EXPECT_GE(stats.at("reasons").at("stranger").at("egress").at("packets"), 70);
}

TEST_F(NatGateway, IncomingMediaIsShapedWithDownlink) {
    enable({"--downlink", "50mbit"});
    exchange(client(0), 10, 40);
    expect_sent_by("video", 40, "ingress"); // datagrams without RTP
}

// nft's flowtables forward without the tables of routing and NAT; in software the frames still pass both hooks of tc.
TEST_F(NatGateway, AFlowtableInSoftwareTakesNothingFromTheCounts) {
    const std::string table = "add table inet fast; add flowtable inet fast way { hook ingress priority 0; devices = "
                              "{ eth0, lan0 }; }; "
                              "add chain inet fast through { type filter hook forward priority 0; }; "
                              "add rule inet fast through meta l4proto { tcp, udp } flow add @way";
    if (inside<Outcome>(test_->host, [&] { return run_program({"nft", table}); }).status != 0)
        return; // a kernel without that; Debian's have it
    enable();
    const Sent sent = exchange(client(0), 10, 10);
    const Endpoint media{media_address, 3478};
    {
        // The flow has been seen both ways: from here on it is offloaded.
        const Fd near = udp_socket(client(0).space, {client(0).address, client_port}),
                 far = udp_socket(test_->far, media);
        send_datagrams(near.get(), media, far.get(), 100, 200);
        send_datagrams(far.get(), {host_address, sent.port}, near.get(), 70, 100);
    }
    const auto flow = find_flow(test_->stats(), "udp", {host_address, sent.port}, media);
    ASSERT_TRUE(flow.is_object()) << test_->stats().at("flows").dump(1);
    EXPECT_EQ(count_of(flow.at("egress")), (Count{110, 110 * 228}));
    EXPECT_EQ(count_of(flow.at("ingress")), (Count{80, 80 * 128}));
    send_bundle(client(0).space, {client(0).address, 50300}, host_address);
}

// --- Without NAT.

TEST_F(GatewayTest, RoutedClientsAreCountedByTheirOwnAddress) {
    put_clients();
    enable();
    send_bundle(client(0).space, {client(0).address, client_port}, client(0).address);
    const auto stats = test_->stats();
    EXPECT_TRUE(find_flow(stats, "udp", {client(0).address, client_port}, {media_address, 3478}).is_object())
        << stats.at("flows").dump(1);
}

} // namespace
} // namespace kudo::test
