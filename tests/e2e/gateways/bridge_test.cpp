// SPDX-License-Identifier: MIT
// A host that bridges its uplink, eth0, and a guest's port, p0: what is watched, and what counts of the host and of the
// guest.
// Invariant: judged by what the far end received.
#include "tests/e2e/gateways/gateway_fixture.h"

namespace kudo::test {
namespace {

using Names = std::vector<std::string>;
constexpr uint16_t port = 50200;
constexpr const char* guest_address = "10.77.0.3";

class BridgingHost : public GatewayTest {
protected:
    void SetUp() override {
        GatewayTest::SetUp();
        if (IsSkipped() || HasFatalFailure()) return;
        put_bridged_client();
        send(test_->host, host_address, 1); // so that the bridge knows where the router is
    }
    void send(const NetworkNamespace& from, const std::string& address, unsigned count) const {
        const Endpoint media{media_address, 3478};
        const Fd near = udp_socket(from, {address, port}), far = udp_socket(test_->far, media);
        send_datagrams(near.get(), media, far.get(), count, 200);
        send_datagrams(far.get(), {address, port}, near.get(), count, 100);
    }
    [[nodiscard]] nlohmann::json flow_of(const char* address) const {
        return find_flow(test_->stats(), "udp", {address, port}, {media_address, 3478});
    }
    [[nodiscard]] std::string note_of(const char* interface) const {
        const auto status = test_->status();
        for (const auto& one : status.at("interfaces"))
            if (one.at("name") == interface && one.at("note").is_string()) return one.at("note");
        return {};
    }
    [[nodiscard]] uint64_t media_out() const {
        return test_->stats().at("services").at("media").at("egress").at("packets");
    }
};

TEST_F(BridgingHost, OnItsPortCountsAndMarksTheHostsAndTheGuestsOnce) {
    enable({"--interface", "eth0"});
    EXPECT_EQ(watched(), Names{"eth0"});
    const Outcome status = test_->agent({"status"});
    EXPECT_EQ(status.status, 0) << status.out << "\nbr0, over which the route leads, is seen on its port";
    send(test_->host, host_address, 40);
    send(client(0).space, guest_address, 60);
    EXPECT_EQ(count_of(flow_of(host_address).at("egress")), (Count{40, 40 * 228}));
    EXPECT_EQ(count_of(flow_of(guest_address).at("egress")), (Count{60, 60 * 228}));
    EXPECT_EQ(count_of(flow_of(guest_address).at("ingress")), (Count{60, 60 * 128}));
    EXPECT_EQ(media_out(), 100u);
    send_bundle(client(0).space, {guest_address, 50300}, guest_address);
    send_bundle(test_->host, {host_address, 50300}, host_address);
}

TEST_F(BridgingHost, OnItsPortQueuesTheGuests) {
    enable({"--interface", "eth0", "--uplink", "50mbit"});
    const Bundle bundle = send_bundle(client(0).space, {guest_address, 50300}, guest_address);
    expect_sent_by("audio", bundle.ef);
    expect_sent_by("video", bundle.af41);
}

TEST_F(BridgingHost, OfItselfWatchesTheBridgeAndSaysThatTheGuestsGoPastIt) {
    const Outcome enabled = test_->agent({"enable", "--region", "ca"});
    ASSERT_EQ(enabled.status, 0) << enabled.out << enabled.err;
    const std::string note =
        "a bridge: what hosts behind its ports send goes past it; --interface eth0 in its place sees all";
    EXPECT_NE(enabled.out.find(note), std::string::npos) << enabled.out;
    EXPECT_EQ(watched(), Names{"br0"});
    EXPECT_EQ(note_of("br0"), note);
    send(test_->host, host_address, 40);
    send(client(0).space, guest_address, 60);
    EXPECT_EQ(media_out(), 40u);
    EXPECT_TRUE(flow_of(guest_address).is_null()) << "as the note says";
}

TEST_F(BridgingHost, WatchedTwiceCountsItsOwnTwiceAndSaysSo) {
    enable({"--interface", "br0", "--interface", "eth0"});
    EXPECT_EQ(note_of("br0"), "its packets pass eth0 as well, which is watched too: they are counted twice");
    send(test_->host, host_address, 40);
    send(client(0).space, guest_address, 60);
    EXPECT_EQ(media_out(), 40u + 40u + 60u);
}

TEST_F(BridgingHost, WatchedOnTheGuestsPortIsToldTheRightOne) {
    const Outcome enabled = test_->agent({"enable", "--region", "ca", "--interface", "p0"});
    EXPECT_EQ(enabled.status, 4);
    EXPECT_NE(enabled.out.find("sent through br0, which is not watched; add --interface eth0"), std::string::npos)
        << enabled.out;
}

} // namespace
} // namespace kudo::test
