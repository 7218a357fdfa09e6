// SPDX-License-Identifier: MIT
// What each hook does with single, well-known packets: marks, counts, fragments, roles.
// Invariant: expectations are written out by hand; the parity tests have the oracle.
#include "tests/kernel/kernel_test.h"

namespace kudo::test {
namespace {

constexpr uint32_t generation = 1;
constexpr uint8_t media_slot = 1;
const char* const remote = "3.7.161.1";
const char* const remote6 = "2001:db8:1::9";

class Hook : public KernelTest {
protected:
    void SetUp() override {
        KernelTest::SetUp();
        if (!IsSkipped()) load({});
    }
    void load(Datapath::Options options, kudo_mode mode = KUDO_ENFORCE) {
        datapath_.emplace(options);
        CompileOptions chosen = options_for(mode);
        chosen.firewall_mark = 0x40;
        chosen.firewall_mark_mask = 0xc0;
        datapath_->publish(compile(map_, chosen, {}).value(), generation);
    }
    uint64_t packets(kudo_reason reason, kudo_direction direction = KUDO_INGRESS) {
        return datapath_->counters()->reasons[reason][direction].packets;
    }
    // What an incoming UDP packet from `remote` would answer.
    void send_first() {
        const Bytes frame =
            (Ethernet{} / IPv4{.source = "192.0.2.2", .destination = remote} / Udp{} / Payload(20)).bytes();
        ASSERT_EQ(datapath_->run_tc(KUDO_EGRESS, frame).error, 0);
    }
    const RangeMap map_ = overlapping_map();
    std::optional<Datapath> datapath_;
};

TEST_F(Hook, TheKernelTakesTheObjectsTypeInformation) {
    EXPECT_TRUE(datapath_->has_type_information());
}

TEST_F(Hook, EgressMarksAllDscpAndEcnValuesAndKeepsChecksumsRight) {
    for (unsigned value = 0; value < 256; ++value) {
        const auto dsfield = static_cast<uint8_t>(value);
        for (const bool ipv6 : {false, true}) {
            const Bytes frame =
                ipv6 ? (Ethernet{} / IPv6{.destination = remote6, .dsfield = dsfield, .flow_label = 0xabcde} / Udp{} /
                        Payload(20))
                           .bytes()
                     : (Ethernet{} / IPv4{.destination = remote, .dsfield = dsfield} / Udp{} / Payload(20)).bytes();
            const RunResult result = datapath_->run_tc(KUDO_EGRESS, frame);
            ASSERT_EQ(result.error, 0);
            ASSERT_EQ(result.frame.size(), frame.size());
            const auto ip = std::span(result.frame).subspan(14);
            const unsigned now = ipv6 ? (ip[0] & 15u) << 4 | ip[1] >> 4 : ip[1];
            EXPECT_EQ(now & 3, value & 3) << "ECN";
            EXPECT_EQ(now >> 2, value >> 5 >= 4 ? value >> 2 : 34u) << "AF41, unless the application has set as high";
            EXPECT_EQ(result.skb.priority, 6u);
            if (ipv6) {
                EXPECT_EQ(ip[0] >> 4, 6);
                EXPECT_EQ((ip[1] & 15u) << 16 | ip[2] << 8 | ip[3], 0xabcdeu) << "flow label";
                EXPECT_TRUE(std::equal(ip.begin() + 4, ip.end(), frame.begin() + 18));
            } else {
                EXPECT_EQ(internet_checksum(ip.first(20)), 0u);
                EXPECT_TRUE(std::equal(ip.begin() + 12, ip.end(), frame.begin() + 26));
            }
        }
    }
}

TEST_F(Hook, EgressMarksBehindTagsAndPppoe) {
    const Bytes frame = (Ethernet{} / Vlan{.id = 7, .tag = KUDO_ETHERTYPE_QINQ} / Vlan{.id = 8} / Pppoe{} /
                         IPv4{.destination = remote, .options = {1, 1, 1, 0}} / Udp{} / Payload(20))
                            .bytes();
    const RunResult result = datapath_->run_tc(KUDO_EGRESS, frame);
    ASSERT_EQ(result.error, 0);
    const auto ip = std::span(result.frame).subspan(14 + 8 + 8);
    EXPECT_EQ(ip[1], 34 << 2);
    EXPECT_EQ(internet_checksum(ip.first(24)), 0u);
}

TEST_F(Hook, ObserveMarksNothing) {
    load({}, KUDO_OBSERVE);
    const Bytes frame = (Ethernet{} / IPv4{.destination = remote} / Udp{} / Payload(20)).bytes();
    const RunResult result = datapath_->run_tc(KUDO_EGRESS, frame, {.mark = 5});
    EXPECT_EQ(result.returned, tc_next);
    EXPECT_EQ(result.frame, frame);
    EXPECT_EQ(result.skb.priority, 0u);
    EXPECT_EQ(datapath_->run_tc(KUDO_INGRESS, frame, {.mark = 5}).skb.mark, 5u);
    EXPECT_EQ(packets(KUDO_REASON_RULE, KUDO_EGRESS), 1u);
}

TEST_F(Hook, IngressSetsOnlyItsBitsOfTheFirewallMark) {
    const Bytes frame = (Ethernet{} / IPv4{.source = remote} / Udp{} / Payload(20)).bytes();
    EXPECT_EQ(datapath_->run_tc(KUDO_INGRESS, frame, {.mark = 0xffffff8f}).skb.mark, 0xffffff8f) << "no answer";
    send_first();
    const RunResult result = datapath_->run_tc(KUDO_INGRESS, frame, {.mark = 0xffffff8f});
    EXPECT_EQ(result.returned, tc_next);
    EXPECT_EQ(result.skb.mark, 0xffffff4f);
    EXPECT_EQ(result.frame, frame);
}

TEST_F(Hook, TcIngressBesideXdpSetsTheMarkButNeitherCountsNorDrops) {
    load({.ingress_counts = false});
    const Bytes allowed = (Ethernet{} / IPv4{.source = remote} / Udp{} / Payload(20)).bytes();
    const Bytes stranger = (Ethernet{} / IPv4{.source = "8.8.8.8"} / Udp{} / Payload(20)).bytes();
    EXPECT_EQ(datapath_->run_tc(KUDO_INGRESS, allowed).skb.mark, 0u) << "no answer";
    EXPECT_EQ(counter_difference(*datapath_->counters(), {}), "");
    EXPECT_TRUE(datapath_->flows().empty());
    send_first();
    const auto before = datapath_->counters();
    EXPECT_EQ(datapath_->run_tc(KUDO_INGRESS, allowed).skb.mark, 0x40u);
    EXPECT_EQ(datapath_->run_tc(KUDO_INGRESS, stranger).returned, tc_next);
    EXPECT_EQ(counter_difference(*datapath_->counters(), *before), "");
}

TEST_F(Hook, ASuperPacketCountsAsItsSegments) {
    // 3 segments of at most 1000 bytes behind 20 + 32 bytes of headers
    const Bytes frame =
        (Ethernet{} / IPv4{.destination = remote} / Tcp{.options = Bytes(12, 1)} / Payload(2500)).bytes();
    EXPECT_EQ(datapath_->run_tc(KUDO_EGRESS, frame, {.segment_size = 1000, .segments = 3}).returned, tc_next);
    const auto counters = datapath_->counters();
    EXPECT_EQ(counters->reasons[KUDO_REASON_RULE][KUDO_EGRESS].packets, 3u);
    EXPECT_EQ(counters->reasons[KUDO_REASON_RULE][KUDO_EGRESS].bytes, 2500u + 3 * 52);
    EXPECT_EQ(counters->services[media_slot][KUDO_CLASS_FALLBACK][KUDO_EGRESS].bytes, 2500u + 3 * 52);
    EXPECT_EQ(datapath_->flows().begin()->second.directions[KUDO_EGRESS].packets, 3u);
}

TEST_F(Hook, BothDirectionsOfAConversationAreOneFlow) {
    const Bytes in = (Ethernet{} / IPv4{.source = remote, .destination = "192.0.2.10"} /
                      Udp{.source_port = 3478, .destination_port = 40000} / Payload(72))
                         .bytes();
    const Bytes out = (Ethernet{} / IPv4{.source = "192.0.2.10", .destination = remote} /
                       Udp{.source_port = 40000, .destination_port = 3478} / Payload(22))
                          .bytes();
    EXPECT_EQ(datapath_->run_xdp(in).returned, uint32_t{XDP_PASS});
    EXPECT_EQ(datapath_->run_tc(KUDO_EGRESS, out).returned, tc_next);
    const FlowBook flows = datapath_->flows();
    ASSERT_EQ(flows.size(), 1u);
    EXPECT_EQ(flows.begin()->second.directions[KUDO_INGRESS].bytes, 100u);
    EXPECT_EQ(flows.begin()->second.directions[KUDO_EGRESS].bytes, 50u);
}

// Neither has ports, addresses and protocol are equal: what was decided for one must not be taken for the other.
TEST_F(Hook, ALaterFragmentAndAWholePacketWithoutPortsAreJudgedApart) {
    const IPv4 ip{.source = remote};
    const Bytes esp = (Ethernet{} / ip / Raw{.bytes = Bytes(40, 7), .protocol = 50}).bytes();
    const Bytes later =
        (Ethernet{} / IPv4{.source = remote, .fragment_offset = 100, .protocol = 50} / Payload(40)).bytes();
    for (int round = 0; round < 2; ++round) {
        EXPECT_EQ(datapath_->run_xdp(later).returned, uint32_t{XDP_PASS});
        EXPECT_EQ(datapath_->run_xdp(esp).returned, uint32_t{XDP_DROP});
    }
    EXPECT_EQ(packets(KUDO_REASON_LATER_FRAGMENT), 2u);
    EXPECT_EQ(packets(KUDO_REASON_OTHER_PROTOCOL), 2u);
}

TEST_F(Hook, AStrangerInAKnownSixteenIsInNoFlow) {
    const Bytes frame = (Ethernet{} / IPv4{.source = "198.51.100.8"} / Udp{}).bytes();
    EXPECT_EQ(datapath_->run_xdp(frame).returned, uint32_t{XDP_DROP});
    EXPECT_EQ(packets(KUDO_REASON_STRANGER), 1u);
    EXPECT_TRUE(datapath_->flows().empty());
}

TEST_F(Hook, ARangeOfEverythingKnowsEveryAddress) {
    const RangeMap everything = map_of({service("all", KUDO_CLASS_CONTROL, {"udp/3478"}, {"0.0.0.0/0", "::/0"})});
    datapath_->publish(compile(everything, options_for(KUDO_ENFORCE), {{"all", 100}}).value(), 2);
    for (const char* source : {"0.0.0.0", "8.8.8.8", "255.255.255.255"})
        EXPECT_EQ(datapath_->run_xdp((Ethernet{} / IPv4{.source = source} / Udp{}).bytes()).returned,
                  uint32_t{XDP_PASS});
    for (const char* source : {"::", "fe80::1", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"})
        EXPECT_EQ(datapath_->run_xdp((Ethernet{} / IPv6{.source = source} / Udp{}).bytes()).returned,
                  uint32_t{XDP_PASS});
    EXPECT_EQ(packets(KUDO_REASON_RULE), 6u);
}

TEST_F(Hook, ABareIpInterfaceNeedsNoEthernetHeader) {
    load({.link = KUDO_LINK_NONE});
    const Bytes frame = (IPv4{.destination = remote} / Udp{} / Payload(20)).bytes();
    const RunResult result = datapath_->run_tc(KUDO_EGRESS, frame);
    ASSERT_EQ(result.error, 0);
    EXPECT_EQ(result.frame[1], 34 << 2);
    EXPECT_EQ(internet_checksum(std::span(result.frame).first(20)), 0u);
    EXPECT_EQ(packets(KUDO_REASON_RULE, KUDO_EGRESS), 1u);
}

} // namespace
} // namespace kudo::test
