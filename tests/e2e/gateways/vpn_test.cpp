// SPDX-License-Identifier: MIT
// A host as a VPN's server: clients' packets come out of a tunnel interface (tun, as WireGuard's: bare IP) and leave by
// the uplink, behind NAT.
// Invariant: the tunnel's far end is the test; judged by what the far end of the uplink received.
#include "tests/e2e/gateways/gateway_fixture.h"

namespace kudo::test {
namespace {

using Names = std::vector<std::string>;

class VpnServer : public GatewayTest {
protected:
    static constexpr const char* client_address = "10.8.0.2";
    void SetUp() override {
        GatewayTest::SetUp();
        if (IsSkipped() || HasFatalFailure()) return;
        tun_ = open_tun(test_->host);
        test_->in_host({"ip", "link", "set", "tun0", "addrgenmode", "none", "up"});
        test_->in_host({"ip", "address", "add", "10.8.0.1/24", "dev", "tun0"});
        masquerade();
    }
    Fd tun_;
};

TEST_F(VpnServer, CountsAndMarksItsClientsOnTheUplinkOnly) {
    enable();
    EXPECT_EQ(watched(), Names{"eth0"});
    constexpr uint16_t port = 41000;
    const Fd far = udp_socket(test_->far, {media_address, 3478});
    Capture capture(test_->far, "eth0", 64);
    for (int i = 0; i < 50; i++) {
        into_tun(tun_, IPv4{.source = client_address, .destination = media_address} /
                           Udp{.source_port = port, .destination_port = 3478} / Payload(200));
        ASSERT_EQ(receive_datagram(far.get()), 200u);
        send_datagram(far.get(), {host_address, port}, Bytes(100));
        const Seen answer = next_from_tun(tun_);
        ASSERT_EQ(answer.destination, client_address);
        ASSERT_EQ(answer.source, media_address);
    }
    int marked = 0;
    for (const Frame& frame : capture.finish())
        if (const auto seen = see_frame(frame.bytes); seen && !frame.outgoing && seen->destination_port == 3478) {
            EXPECT_EQ(seen->source, host_address);
            marked += seen->dsfield >> 2 == 34;
        }
    EXPECT_EQ(marked, 50) << "AF41";
    const auto stats = test_->stats();
    ASSERT_EQ(stats.at("flows").size(), 1u) << stats.at("flows").dump(1);
    const auto flow = find_flow(stats, "udp", {host_address, port}, {media_address, 3478});
    ASSERT_TRUE(flow.is_object()) << stats.at("flows").dump(1);
    EXPECT_EQ(count_of(flow.at("egress")), (Count{50, 50 * 228}));
    EXPECT_EQ(count_of(flow.at("ingress")), (Count{50, 50 * 128}));
}

} // namespace
} // namespace kudo::test
