// SPDX-License-Identifier: MIT
// A tun interface: packets without an Ethernet header, read from and written to its descriptor.
// Invariant: the descriptor is the far end; nothing but what is written here comes in.
#include "tests/e2e/link_fixture.h"

namespace kudo::test {
namespace {

constexpr unsigned packets = 100;
constexpr const char* tun_address = "10.88.0.2";
constexpr const char* tun_address6 = "fd88::2";

class Tun : public LineTest, public testing::WithParamInterface<std::string> {
protected:
    void SetUp() override {
        if (GetParam() == "tcx" && !kernel_has_tcx()) GTEST_SKIP() << "this kernel has no tcx";
        LineTest::SetUp();
        if (IsSkipped() || HasFatalFailure()) return;
        tun_ = open_tun(test_->host);
        test_->in_host({"ip", "link", "set", "tun0", "addrgenmode", "none", "up"});
        test_->in_host({"ip", "address", "add", std::string(tun_address) + "/24", "dev", "tun0"});
        test_->in_host({"ip", "-6", "address", "add", std::string(tun_address6) + "/64", "dev", "tun0", "nodad"});
        for (const char* address : {media_address, stranger_address})
            test_->in_host({"ip", "route", "add", address, "dev", "tun0"});
        test_->in_host({"ip", "-6", "route", "add", media_address6, "dev", "tun0"});
        // 4: KUDO's other services are sent through eth0, which is not watched.
        const Outcome enabled =
            test_->agent({"enable", "--region", "ca", "--interface", "tun0", "--tc-hook", GetParam()});
        ASSERT_EQ(enabled.status, 4) << enabled.out << enabled.err;
        apply_map_with_ipv6();
    }
    Seen next_from_tunnel() const { return next_from_tun(tun_); }
    void into_tunnel(const Packet& packet) const { into_tun(tun_, packet); }
    Fd tun_;
};

TEST_P(Tun, FlowsAreCountedAndMarked) {
    const auto interface = test_->status().at("interfaces").at(0);
    const std::string hook = GetParam() == "clsact" ? "tc" : tc_hook_name();
    EXPECT_EQ(interface.at("name"), "tun0");
    EXPECT_EQ(interface.at("ingress"), hook);
    EXPECT_EQ(interface.at("egress"), hook);

    const Endpoint local{tun_address, 50001}, local6{tun_address6, 50002};
    const Endpoint media{media_address, 3478}, media6{media_address6, 3478}, stranger{stranger_address, 3478};
    const Fd socket = udp_socket(test_->host, local), socket6 = udp_socket(test_->host, local6);
    for (unsigned i = 0; i < packets; i++) {
        for (const auto& [from, to, dsfield] : {std::tuple{socket.get(), media, 34 << 2},
                                                {socket6.get(), media6, 34 << 2},
                                                {socket.get(), stranger, 0}}) {
            send_datagram(from, to, Bytes(100));
            const Seen seen = next_from_tunnel();
            ASSERT_EQ(seen.destination, to.address);
            ASSERT_EQ(seen.dsfield, dsfield);
            ASSERT_TRUE(seen.checksum_right);
        }
        into_tunnel(IPv4{.source = media_address, .destination = tun_address} /
                    Udp{.source_port = 3478, .destination_port = local.port} / Payload(200));
        into_tunnel(IPv4{.source = stranger_address, .destination = tun_address} /
                    Udp{.source_port = 3478, .destination_port = local.port} / Payload(200));
        into_tunnel(IPv6{.source = media_address6, .destination = tun_address6} /
                    Udp{.source_port = 3478, .destination_port = local6.port} / Payload(200));
        for (const int receiver : {socket.get(), socket.get(), socket6.get()})
            ASSERT_EQ(receive_datagram(receiver), 200u);
    }

    const auto stats = test_->stats();
    EXPECT_EQ(stats.at("flows").size(), 2u) << stats.at("flows").dump(1);
    for (const auto& [near, far, header] : {std::tuple{local, media, 28}, {local6, media6, 48}}) {
        const auto flow = find_flow(stats, "udp", near, far);
        ASSERT_TRUE(flow.is_object()) << far.address;
        EXPECT_EQ(flow.at("interface"), "tun0");
        EXPECT_EQ(flow.at("class"), "media");
        EXPECT_EQ(count_of(flow.at("ingress")), (Count{packets, packets * (header + 200u)}));
        EXPECT_EQ(count_of(flow.at("egress")), (Count{packets, packets * (header + 100u)}));
    }
    EXPECT_EQ(stats.at("reasons").at("rule").at("ingress").at("packets"), 2 * packets);
    EXPECT_EQ(stats.at("reasons").at("stranger").at("ingress").at("packets"), packets);
    EXPECT_EQ(stats.at("reasons").at("not_ip").at("egress").at("packets"), 0);
}

TEST_P(Tun, IsAsBeforeAfterDisable) {
    ASSERT_EQ(test_->agent({"disable"}).status, 0);
    EXPECT_EQ(test_->in_host({"tc", "filter", "show", "dev", "tun0", "ingress"}), "");
    EXPECT_EQ(test_->in_host({"tc", "qdisc", "show", "dev", "tun0"}).find("clsact"), std::string::npos);
    const Fd socket = udp_socket(test_->host, {tun_address, 50001});
    send_datagram(socket.get(), {media_address, 3478}, Bytes(100));
    EXPECT_EQ(next_from_tunnel().dsfield, 0);
}

INSTANTIATE_TEST_SUITE_P(Hook, Tun, testing::Values("tcx", "clsact"), [](const auto& hook) { return hook.param; });

} // namespace
} // namespace kudo::test
