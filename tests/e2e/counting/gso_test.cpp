// SPDX-License-Identifier: MIT
// Super-packets: one skb at our hook, many packets on the wire. Our counts against a capture on the far end.
// Invariant: both ends cut super-packets into segments before the wire, so that the capture sees what a wire would
// carry; an nft counter shows that the stack of the host did handle super-packets.
#include "tests/e2e/link_fixture.h"

#include <netinet/in.h>

#include <algorithm>
#include <iostream>
#include <sstream>

namespace kudo::test {
namespace {

constexpr uint64_t bulk = 50'000'000;
constexpr uint32_t largest_frame = 1514;
const Endpoint client{host_address, 50001}, tcp_server{media_address, 443}, udp_server{media_address, 3478};

class SuperPackets : public LineTest, public testing::WithParamInterface<IngressKind> {
protected:
    void SetUp() override {
        LineTest::SetUp();
        if (IsSkipped() || HasFatalFailure()) return;
        for (const char* feature : {"tx-tcp-segmentation", "tx-tcp6-segmentation", "tx-udp-segmentation"}) {
            test_->in_host({"ethtool", "-K", "eth0", feature, "off"});
            test_->in_far({"ethtool", "-K", "eth0", feature, "off"});
        }
        test_->in_host({"ethtool", "-K", "eth0", "gro", "on"});
        test_->in_host({"nft", "add table inet big; add counter inet big in; add counter inet big out; "
                               "add chain inet big pre { type filter hook prerouting priority 0; }; "
                               "add chain inet big post { type filter hook postrouting priority 0; }; "
                               "add rule inet big pre meta length > 1500 counter name in; "
                               "add rule inet big post meta length > 1500 counter name out; "
                               "add counter inet big jumbo; "
                               "add rule inet big post meta length > 66000 counter name jumbo"});
    }
    // How many skbs above the MTU the host's IP stack has seen, "in" or "out".
    uint64_t big(const std::string& direction) const {
        const auto listed =
            nlohmann::json::parse(test_->in_host({"nft", "-j", "list", "counter", "inet", "big", direction}));
        return listed.at("nftables").at(1).at("counter").at("packets");
    }
};

void expect_wire_sized(const std::vector<Frame>& wire) {
    ASSERT_FALSE(wire.empty());
    const auto longest = std::ranges::max_element(wire, {}, [](const Frame& frame) { return frame.length; });
    EXPECT_LE(longest->length, largest_frame) << "the capture has seen a super-packet";
}

// Ours against the wire's, which may differ by what TCP has sent again.
void expect_near(const Count& ours, const Count& wire, uint64_t resent_segments, uint64_t resent_bytes) {
    constexpr uint64_t max_headers = 60 + 60; // of one resent segment
    const auto apart = [](uint64_t a, uint64_t b) { return a > b ? a - b : b - a; };
    EXPECT_LE(apart(ours.packets, wire.packets), resent_segments) << ours << " against " << wire;
    EXPECT_LE(apart(ours.bytes, wire.bytes), resent_bytes + resent_segments * max_headers)
        << ours << " against " << wire;
}

// Each segment carries the mark, and a right checksum.
void expect_marked(const std::vector<Frame>& wire, const std::string& remote) {
    for (const Frame& frame : wire) {
        const auto seen = frame.outgoing ? std::nullopt : see_frame(frame.bytes);
        if (!seen || seen->destination != remote) continue;
        ASSERT_EQ(seen->dsfield >> 2, 34);
        ASSERT_TRUE(seen->checksum_right);
    }
}

TEST_P(SuperPackets, OfATcpTransferAreCountedAsThePacketsOnTheWire) {
    enable_as(GetParam());
    Capture far_end(test_->far, "eth0");
    const TcpOutcome outcome = transfer_tcp({test_->host, client, test_->far, tcp_server}, bulk, bulk);
    const auto wire = far_end.finish();
    ASSERT_EQ(outcome.uploaded, bulk);
    ASSERT_EQ(outcome.downloaded, bulk);
    expect_wire_sized(wire);
    const Count sent = count_between(wire, IPPROTO_TCP, client, tcp_server);
    const Count received = count_between(wire, IPPROTO_TCP, tcp_server, client);
    EXPECT_GT(sent.bytes, bulk);
    EXPECT_GT(received.bytes, bulk);

    const auto flow = find_flow(test_->stats(), "tcp", client, tcp_server);
    ASSERT_TRUE(flow.is_object());
    EXPECT_EQ(flow.at("class"), "fallback");
    expect_near(count_of(flow.at("egress")), sent, outcome.client_resent_segments, outcome.client_resent_bytes);
    expect_near(count_of(flow.at("ingress")), received, outcome.server_resent_segments, outcome.server_resent_bytes);
    // Most of the bytes went through super-packets, or nothing of the above was about them.
    EXPECT_GT(big("out"), 500u);
    EXPECT_LT(big("out"), sent.packets / 2);
    EXPECT_GT(big("in"), 500u); // behind XDP, but before tc ingress
    EXPECT_LT(big("in"), received.packets / 2);
    expect_marked(wire, media_address);
    std::cout << "sent " << count_of(flow.at("egress")) << ", on the wire " << sent << ", resent "
              << outcome.client_resent_segments << "; received " << count_of(flow.at("ingress")) << ", on the wire "
              << received << ", resent " << outcome.server_resent_segments << "; super-packets out " << big("out")
              << ", in " << big("in") << '\n';
}

// Above 64 KiB: the length field of the IP header is zero, and a jumbo header that the wire does not see stands behind
// it.
TEST_P(SuperPackets, OfBigTcpAreCountedAsThePacketsOnTheWire) {
    const Endpoint client6{host_address6, 50002}, server6{media_address6, 443};
    try {
        test_->in_host({"ip", "link", "set", "dev", "eth0", "gso_max_size", "180000"});
    } catch (const std::runtime_error& refused) {
        GTEST_SKIP() << "this kernel makes no packets above 64 KiB: " << refused.what();
    }
    enable_as(GetParam());
    apply_map_with_ipv6();
    Capture far_end(test_->far, "eth0");
    const TcpOutcome outcome = transfer_tcp({test_->host, client6, test_->far, server6, 2 << 20}, bulk, 0);
    const auto wire = far_end.finish();
    ASSERT_EQ(outcome.uploaded, bulk);
    expect_wire_sized(wire);
    const Count sent = count_between(wire, IPPROTO_TCP, client6, server6);
    EXPECT_GT(sent.bytes, bulk);
    const auto flow = find_flow(test_->stats(), "tcp", client6, server6);
    ASSERT_TRUE(flow.is_object());
    expect_near(count_of(flow.at("egress")), sent, outcome.client_resent_segments, outcome.client_resent_bytes);
    EXPECT_GT(big("jumbo"), 10u);
    expect_marked(wire, media_address6);
    std::cout << "sent " << count_of(flow.at("egress")) << ", on the wire " << sent << ", resent "
              << outcome.client_resent_segments << "; above 64 KiB " << big("jumbo") << '\n';
}

TEST_P(SuperPackets, OfUdpSegmentationAreCountedAsTheDatagramsOnTheWire) {
    quieten();
    enable_as(GetParam());
    const Fd near = udp_socket(test_->host, client), far = udp_socket(test_->far, udp_server);
    Capture far_end(test_->far, "eth0");
    for (int i = 0; i < 20; i++) {
        send_segmented(near.get(), udp_server, 10 * 1200 + 300, 1200);
        for (int datagram = 0; datagram < 11; datagram++)
            receive_datagram(far.get());
    }
    const auto wire = far_end.finish();
    expect_wire_sized(wire);
    const Count expected{20 * 11, 20 * (11 * 28 + 10 * 1200 + 300)};
    EXPECT_EQ(count_between(wire, IPPROTO_UDP, client, udp_server), expected);
    EXPECT_EQ(big("out"), 20u);
    const auto stats = test_->stats();
    const auto flow = find_flow(stats, "udp", client, udp_server);
    ASSERT_TRUE(flow.is_object());
    EXPECT_EQ(count_of(flow.at("egress")), expected);
    EXPECT_EQ(count_of(stats.at("totals").at("egress")), expected);
    EXPECT_EQ(count_of(stats.at("services").at("media").at("egress")), expected);
}

TEST_P(SuperPackets, OfUdpGroAreCountedAsTheDatagramsOnTheWire) {
    quieten();
    try {
        test_->in_host({"ethtool", "-K", "eth0", "rx-udp-gro-forwarding", "on"});
    } catch (const std::runtime_error& refused) {
        GTEST_SKIP() << "this kernel does not merge datagrams that it forwards: " << refused.what();
    }
    enable_as(GetParam());
    const Fd near = udp_socket(test_->host, client), far = udp_socket(test_->far, udp_server);
    Capture far_end(test_->far, "eth0");
    for (int i = 0; i < 20; i++) {
        send_segmented(far.get(), client, 10 * 1200 + 300, 1200);
        for (int datagram = 0; datagram < 11; datagram++)
            receive_datagram(near.get());
    }
    const auto wire = far_end.finish();
    expect_wire_sized(wire);
    const Count expected{20 * 11, 20 * (11 * 28 + 10 * 1200 + 300)};
    EXPECT_EQ(count_between(wire, IPPROTO_UDP, udp_server, client), expected);
    EXPECT_GT(big("in"), 10u);
    const auto flow = find_flow(test_->stats(), "udp", client, udp_server);
    ASSERT_TRUE(flow.is_object());
    EXPECT_EQ(count_of(flow.at("ingress")), expected);
}

// As a veth hands them over: the sender cuts nothing, and no wire is there to do so. What it would have cut it counts
// itself, segment by segment.
class WholeSuperPackets : public LineTest, public testing::WithParamInterface<const char*> {
protected:
    // Of TCP, as the far end's kernel counts them: OutSegs and RetransSegs (RFC 4022).
    [[nodiscard]] uint64_t segments_of_far() const {
        std::istringstream text(test_->in_far({"cat", "/proc/net/snmp"}));
        std::string line, names;
        while (std::getline(text, line)) {
            if (!line.starts_with("Tcp:")) continue;
            if (names.empty()) { // the first line has the names, the second the values
                names = line;
                continue;
            }
            std::istringstream keys(names), values(line);
            std::string key, value;
            uint64_t sum = 0;
            while (keys >> key && values >> value)
                if (key == "OutSegs" || key == "RetransSegs") sum += std::stoull(value);
            return sum;
        }
        throw std::runtime_error("no counters of TCP");
    }
};
INSTANTIATE_TEST_SUITE_P(TcHook, WholeSuperPackets, testing::Values("auto", "clsact"));

TEST_P(WholeSuperPackets, AreCountedAsTheSegmentsThatTheSenderMeant) {
    enable({"--tc-hook", GetParam()});
    Capture near_end(test_->host, "eth0");
    const uint64_t before = segments_of_far();
    const TcpOutcome outcome = transfer_tcp({test_->host, client, test_->far, tcp_server}, 0, bulk);
    const uint64_t sent = segments_of_far() - before;
    ASSERT_EQ(outcome.downloaded, bulk);
    const auto frames = near_end.finish();
    EXPECT_GT(std::ranges::count_if(frames, [](const Frame& f) { return !f.outgoing && f.length > largest_frame; }),
              100)
        << "no super-packets have come";
    const auto flow = find_flow(test_->stats(), "tcp", client, tcp_server);
    ASSERT_TRUE(flow.is_object());
    const Count ours = count_of(flow.at("ingress"));
    // SYN and ACK is one of them or not, by the kernel's version.
    EXPECT_NEAR(static_cast<double>(ours.packets), static_cast<double>(sent), 1) << ours;
    EXPECT_GT(sent, bulk / 1448);
    EXPECT_GE(ours.bytes, bulk + ours.packets * 52 - 100);
    EXPECT_LE(ours.bytes, bulk + ours.packets * 52 + outcome.server_resent_bytes + 100);
}

INSTANTIATE_TEST_SUITE_P(Ingress, SuperPackets, all_ingress_kinds, name_of_ingress);

} // namespace
} // namespace kudo::test
