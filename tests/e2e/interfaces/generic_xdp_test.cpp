// SPDX-License-Identifier: MIT
// Generic XDP, on an interface whose driver has no native one: a bridge over the line.
// Invariant: only where --xdp-generic asks for it.
#include "tests/e2e/link_fixture.h"

#include <netinet/in.h>

#include <algorithm>

namespace kudo::test {
namespace {

class GenericXdp : public LineTest {
protected:
    void SetUp() override {
        LineTest::SetUp();
        if (IsSkipped() || HasFatalFailure()) return;
        put_bridge();
    }
    std::string ingress() const { return test_->status().at("interfaces").at(0).at("ingress"); }
};

TEST_F(GenericXdp, IsNotUsedUnlessAskedFor) {
    enable({"--interface", "br0"});
    EXPECT_EQ(ingress(), tc_hook_name());
    enable({"--interface", "br0", "--xdp-generic"});
    EXPECT_EQ(ingress(), "xdp-generic");
    enable({"--interface", "br0"});
    EXPECT_EQ(ingress(), tc_hook_name());
}

TEST_F(GenericXdp, CountsAndMarksAsTheOthersDo) {
    enable({"--interface", "br0", "--xdp-generic"});
    ASSERT_EQ(ingress(), "xdp-generic");
    constexpr unsigned packets = 1000;
    const Endpoint local{host_address, 50001}, remote{media_address, 3478};
    const Fd near = udp_socket(test_->host, local), far = udp_socket(test_->far, remote);
    Capture far_end(test_->far, "eth0");
    send_datagrams(near.get(), remote, far.get(), packets, 100);
    send_datagrams(far.get(), local, near.get(), packets, 200);
    const auto stats = test_->stats();
    const auto flow = find_flow(stats, "udp", local, remote);
    ASSERT_TRUE(flow.is_object()) << stats.dump(1);
    EXPECT_EQ(flow.at("interface"), "br0");
    EXPECT_EQ(count_of(flow.at("egress")), (Count{packets, packets * 128}));
    EXPECT_EQ(count_of(flow.at("ingress")), (Count{packets, packets * 228}));
    EXPECT_EQ(stats.at("reasons").at("rule").at("ingress").at("packets"), packets);
    for (const Frame& frame : far_end.finish()) {
        const auto seen = frame.outgoing ? std::nullopt : see_frame(frame.bytes);
        if (seen && seen->destination == media_address) {
            ASSERT_EQ(seen->dsfield, 34 << 2);
        }
    }
}

// Packets that the port below has merged (GRO) reach the bridge's generic XDP as one.
TEST_F(GenericXdp, CountsMergedPacketsAsThePacketsOnTheWire) {
    test_->in_far({"ethtool", "-K", "eth0", "tso", "off"});
    test_->in_host({"ethtool", "-K", "eth0", "gro", "on"});
    enable({"--interface", "br0", "--xdp-generic"});
    ASSERT_EQ(ingress(), "xdp-generic");
    constexpr uint64_t bulk = 5'000'000;
    const Endpoint client{host_address, 50001}, server{media_address, 443};
    Capture far_end(test_->far, "eth0"), bridge(test_->host, "br0");
    const TcpOutcome outcome = transfer_tcp({test_->host, client, test_->far, server}, 0, bulk);
    const Count wire = count_between(far_end.finish(), IPPROTO_TCP, server, client);
    ASSERT_EQ(outcome.downloaded, bulk);
    // A veth merges nothing without native XDP before 5.13.
    if (std::ranges::none_of(bridge.finish(), [](const Frame& f) { return !f.outgoing && f.length > 1514; }))
        GTEST_SKIP() << "this kernel merges nothing on a veth";
    const auto flow = find_flow(test_->stats(), "tcp", client, server);
    ASSERT_TRUE(flow.is_object());
    const Count ours = count_of(flow.at("ingress"));
    EXPECT_LE(ours.packets, wire.packets);
    EXPECT_GE(ours.packets + outcome.server_resent_segments, wire.packets) << ours << " against " << wire;
    EXPECT_GE(ours.bytes + outcome.server_resent_bytes + 120 * outcome.server_resent_segments, wire.bytes)
        << ours << " against " << wire;
}

} // namespace
} // namespace kudo::test
