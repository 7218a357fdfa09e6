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
        test_->in_host({"ip", "link", "add", "br0", "type", "bridge"});
        test_->in_host({"ip", "address", "flush", "dev", "eth0"});
        test_->in_host({"ip", "link", "set", "eth0", "master", "br0"});
        test_->in_host({"ip", "address", "add", std::string(host_address) + "/24", "dev", "br0"});
        test_->in_host({"ip", "link", "set", "br0", "up"});
        test_->in_host({"ip", "route", "replace", "default", "via", "10.77.0.1"});
    }
    std::string ingress() const { return test_->status().at("interfaces").at(0).at("ingress"); }
};

TEST_F(GenericXdp, IsNotUsedUnlessAskedFor) {
    enable({"--interface", "br0"});
    EXPECT_EQ(ingress(), "tcx");
    enable({"--interface", "br0", "--xdp-generic"});
    EXPECT_EQ(ingress(), "xdp-generic");
    enable({"--interface", "br0"});
    EXPECT_EQ(ingress(), "tcx");
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

// Packets that the port below has merged (GRO) reach the bridge's generic XDP as one, which cannot tell how many they
// were: enable has to say so.
TEST_F(GenericXdp, SaysThatMergedPacketsCountAsOne) {
    const Outcome enabled = test_->agent({"enable", "--region", "ca", "--interface", "br0", "--xdp-generic"});
    ASSERT_EQ(enabled.status, 0) << enabled.err;
    EXPECT_NE(enabled.out.find("packets that it merged count as one"), std::string::npos) << enabled.out;
    const Outcome plain = test_->agent({"enable", "--region", "ca", "--interface", "br0"});
    ASSERT_EQ(plain.status, 0) << plain.err;
    EXPECT_EQ(plain.out.find("merged"), std::string::npos) << plain.out;
}

} // namespace
} // namespace kudo::test
