// SPDX-License-Identifier: MIT
// What outgoing packets are marked with, read from whole frames on the far end of the line.
// Invariant: every check has a counterpart that shows the sender did send what it is said to have sent.
#include "tests/e2e/link_fixture.h"

#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>

#include "bpf/mark.h"
#include "maps/compile/compile.h"

namespace kudo::test {
namespace {

constexpr uint8_t af41 = 34, af42 = 36, af31 = 26, af21 = 18, ef = 46, le = 1, cs4 = 32, cs5 = 40, cs6 = 48;

class Marks : public LineTest {
protected:
    void SetUp() override {
        LineTest::SetUp();
        if (IsSkipped() || HasFatalFailure()) return;
        quieten();
    }

    // What arrives at the far end while `send` works.
    template <typename Send> std::vector<Seen> arriving(const Send& send) const {
        Capture capture(test_->far, "eth0", 2048);
        send();
        std::vector<Seen> packets;
        for (const Frame& frame : capture.finish())
            if (auto seen = see_frame(frame.bytes); seen && !frame.outgoing) packets.push_back(std::move(*seen));
        return packets;
    }
    // One datagram for each value of the DS field, set by the application; the payload says which.
    std::vector<Seen> all_values_to(const std::string& remote) const {
        const bool v6 = remote.find(':') != std::string::npos;
        const Fd socket = udp_socket(test_->host, {v6 ? host_address6 : host_address, 50001});
        return arriving([&] {
            for (int value = 0; value < 256; value++) {
                ASSERT_EQ(0, v6 ? setsockopt(socket.get(), IPPROTO_IPV6, IPV6_TCLASS, &value, sizeof value)
                                : setsockopt(socket.get(), IPPROTO_IP, IP_TOS, &value, sizeof value));
                send_datagram(socket.get(), {remote, 3478}, Bytes{static_cast<uint8_t>(value)});
            }
        });
    }
    // The DS field with which a datagram to this port arrives that the application marked with `dscp`.
    int dscp_on_the_wire(uint8_t dscp, const std::string& remote = media_address, uint16_t port = 3478) const {
        const auto packets = arriving([&] {
            FrameSender(test_->host, "eth0")
                .send((Ethernet{} /
                       IPv4{.source = host_address, .destination = remote, .dsfield = static_cast<uint8_t>(dscp << 2)} /
                       Udp{.source_port = 50002, .destination_port = port} / Payload(100))
                          .bytes());
        });
        return packets.size() == 1 ? packets[0].dsfield >> 2 : -1;
    }
    int tcp_dscp_on_the_wire(const std::string& remote) const {
        const auto packets = arriving([&] {
            FrameSender(test_->host, "eth0")
                .send((Ethernet{} / IPv4{.source = host_address, .destination = remote} /
                       Tcp{.source_port = 50003, .destination_port = 443} / Payload(100))
                          .bytes());
        });
        return packets.size() == 1 ? packets[0].dsfield >> 2 : -1;
    }
};

// All 256 arrived, in order; what `change` makes of each value is on the wire; checksums are right.
template <typename Change> void expect_values(const std::vector<Seen>& packets, const Change& change) {
    ASSERT_EQ(packets.size(), 256u);
    for (unsigned value = 0; value < 256; value++) {
        SCOPED_TRACE(value);
        ASSERT_EQ(packets[value].payload.at(0), value);
        EXPECT_EQ(packets[value].dsfield, change(static_cast<uint8_t>(value)));
        EXPECT_EQ(packets[value].dsfield & 3, value & 3) << "ECN";
        EXPECT_TRUE(packets[value].checksum_right);
    }
}

uint8_t as_sent(uint8_t value) {
    return value;
}
uint8_t as_media(uint8_t value) {
    return value >> 5 < af41 >> 3 ? af41 << 2 | (value & 3) : value; // RFC 2474 precedence, RFC 3168 ECN
}

TEST_F(Marks, EachClassLeavesWithItsOwnDscp) {
    enable();
    EXPECT_EQ(dscp_on_the_wire(0), af41);
    EXPECT_EQ(tcp_dscp_on_the_wire(media_address), af41);   // fallback
    EXPECT_EQ(tcp_dscp_on_the_wire(region_address), af21);  // control
    EXPECT_EQ(dscp_on_the_wire(0, media_address, 3479), 0); // a port that is not listed
    EXPECT_EQ(dscp_on_the_wire(0, stranger_address), 0);
    EXPECT_EQ(tcp_dscp_on_the_wire(stranger_address), 0);
}

TEST_F(Marks, OfAnyDscpAndEcnThatTheApplicationSetIPv4) {
    enable();
    const auto packets = all_values_to(media_address);
    expect_values(packets, as_media);
    EXPECT_EQ(std::ranges::count_if(packets, [](const Seen& seen) { return seen.dsfield != seen.payload.at(0); }), 128);
    expect_values(all_values_to(stranger_address), as_sent);
}

TEST_F(Marks, OfAnyTrafficClassThatTheApplicationSetIPv6AndTheFlowLabelStays) {
    enable();
    apply_map_with_ipv6();
    test_->in_host({"sysctl", "-qw", "net.ipv6.auto_flowlabels=3"});
    const auto packets = all_values_to(media_address6);
    expect_values(packets, as_media);
    EXPECT_EQ(std::ranges::count_if(packets, [](const Seen& seen) { return seen.dsfield != seen.payload.at(0); }), 128);
    ASSERT_FALSE(packets.empty());
    EXPECT_NE(packets[0].flow_label, 0u);
    for (const Seen& seen : packets)
        EXPECT_EQ(seen.flow_label, packets[0].flow_label); // marked or not
    expect_values(all_values_to(stranger_address6), as_sent);

    for (const uint32_t label : {0x00000u, 0xfffffu, 0xa5a5au}) {
        const auto raw = arriving([&] {
            FrameSender(test_->host, "eth0")
                .send((Ethernet{} /
                       IPv6{.source = host_address6, .destination = media_address6, .dsfield = 1, .flow_label = label} /
                       Udp{} / Payload(10))
                          .bytes());
        });
        ASSERT_EQ(raw.size(), 1u);
        EXPECT_EQ(raw[0].flow_label, label);
        EXPECT_EQ(raw[0].dsfield, af41 << 2 | 1);
    }
}

TEST_F(Marks, RespectAHigherOneOfTheApplication) {
    enable();
    for (const uint8_t dscp : {ef, cs4, cs5, cs6, af42})
        EXPECT_EQ(dscp_on_the_wire(dscp), dscp);
    for (const uint8_t dscp : {le, af21, af31})
        EXPECT_EQ(dscp_on_the_wire(dscp), af41) << unsigned(dscp);
}

TEST_F(Marks, AreLeftOutForAClassThatAsksForNone) {
    enable({"--mark", "media=none"});
    expect_values(all_values_to(media_address), as_sent);
    EXPECT_EQ(tcp_dscp_on_the_wire(media_address), af41); // the other classes keep theirs
    EXPECT_EQ(tcp_dscp_on_the_wire(region_address), af21);
}

TEST_F(Marks, AreWhatTheAdminAsksFor) {
    enable({"--mark", "media=dscp:EF", "--mark", "fallback=dscp:CS3,priority:2", "--mark", "control=dscp:63"});
    EXPECT_EQ(dscp_on_the_wire(0), ef);
    EXPECT_EQ(dscp_on_the_wire(af41), ef);
    EXPECT_EQ(dscp_on_the_wire(cs6), cs6);
    EXPECT_EQ(tcp_dscp_on_the_wire(media_address), 24);
    EXPECT_EQ(tcp_dscp_on_the_wire(region_address), 63);
    enable(); // back to the defaults
    EXPECT_EQ(dscp_on_the_wire(0), af41);
}

TEST_F(Marks, AreNotSetByObserveWhichCountsAllTheSame) {
    enable({"--mode", "observe"});
    expect_values(all_values_to(media_address), as_sent);
    EXPECT_EQ(tcp_dscp_on_the_wire(region_address), 0);
    const auto flow = find_flow(test_->stats(), "udp", {host_address, 50001}, {media_address, 3478});
    ASSERT_TRUE(flow.is_object());
    EXPECT_EQ(count_of(flow.at("egress")), (Count{256, 256 * 29}));
    EXPECT_EQ(flow.at("verdict"), "pass");
}

} // namespace
} // namespace kudo::test
