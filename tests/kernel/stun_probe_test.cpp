// SPDX-License-Identifier: MIT
// STUN as a probe, through the programs: on every hook and in every wrapping, who may count what.
#include "agent/datapath/probes.h"
#include "bpf/stun_probe.h"
#include "tests/kernel/stranger_frames.h"
#include "tests/support/media_message.h"
#include "tests/support/stun_message.h"

namespace kudo::test {
namespace {

constexpr const char *probed4 = "3.123.12.129", *probed6 = "2001:db8:77:1::9";

class ProbeTest : public StrangerTest {
protected:
    ProbeTest() : StrangerTest(KUDO_STUN_PORT) {}

    static Bytes success(uint8_t transaction, uint16_t port) {
        const Bytes key = be32(KUDO_STUN_COOKIE) + Bytes(12, transaction), address = {203, 0, 113, 7};
        Bytes value = Bytes{0, 1} + be16(port ^ 0x2112u);
        for (std::size_t i = 0; i < address.size(); i++)
            value.push_back(static_cast<uint8_t>(address[i] ^ key[i]));
        const Bytes mapped = attribute(KUDO_STUN_XOR_MAPPED, value);
        Bytes message = stun_message(binding_success, transaction, mapped.size());
        std::ranges::copy(mapped, message.begin() + KUDO_STUN_HEADER);
        return message;
    }
    // Of the only flow.
    [[nodiscard]] std::optional<FlowProbe> probe() const {
        const FlowProbes all = read_probes(datapath_->maps()).value();
        EXPECT_LE(all.size(), 1u);
        return all.empty() ? std::nullopt : std::optional(all.begin()->second);
    }
    static constexpr Way tc_{"", probed4, false, Shape::Plain};
};
using ProbeWay = OnAWay<ProbeTest>;

std::vector<Way> probe_ways() {
    return {Way{"Tc", probed4, false, Shape::Plain},
            Way{"TcObserved", probed4, false, Shape::Plain, KUDO_OBSERVE},
            Way{"TcVlan", probed4, false, Shape::Vlan},
            Way{"TcNoEthernet", probed4, false, Shape::NoEthernet},
            Way{"Tc6", probed6, false, Shape::Plain},
            Way{"Tc6Options", probed6, false, Shape::Options},
            Way{"Xdp", probed4, true, Shape::Plain},
            Way{"XdpQinQ", probed4, true, Shape::QinQ},
            Way{"Xdp6", probed6, true, Shape::Plain},
            Way{"XdpWithoutFrags", probed4, true, Shape::Plain, KUDO_PRIORITISE, false}};
}

TEST_P(ProbeWay, ARequestAndItsResponseAreARoundTrip) {
    const Way& way = GetParam();
    send(stun_message(binding_request, 1), way);
    FlowProbe is = probe().value();
    EXPECT_EQ(is.requests, 1u);
    EXPECT_EQ(is.pending, 1u);
    EXPECT_TRUE(is.last_request.has_value());
    EXPECT_FALSE(is.last_response.has_value());
    receive(success(2, 1), way); // another's
    EXPECT_EQ(probe()->responses, 0u);
    EXPECT_FALSE(probe()->mapped.has_value());
    receive(success(1, 40001), way);
    is = probe().value();
    EXPECT_EQ(is.responses, 1u);
    EXPECT_EQ(is.pending + is.unanswered, 0u);
    EXPECT_EQ(is.rtt.value().count, 1u);
    EXPECT_EQ(is.mapped.value(), (MappedAddress{"203.0.113.7", 40001}));
    EXPECT_TRUE(is.last_response.has_value());
    EXPECT_TRUE(is.last_inbound.has_value());
    // Sent twice: no round trip, but a response.
    send(stun_message(binding_request, 3), way);
    send(stun_message(binding_request, 3), way);
    receive(success(3, 40002), way);
    is = probe().value();
    EXPECT_EQ(is.requests, 2u);
    EXPECT_EQ(is.retransmitted, 1u);
    EXPECT_EQ(is.responses, 2u);
    EXPECT_EQ(is.rtt.value().count, 1u);
    EXPECT_EQ(is.mapped_changes, 1u);
    EXPECT_EQ(is.last_change.value().before.port, 40001);
    EXPECT_EQ(is.last_change->after.port, 40002);
    // The far side asks too.
    receive(stun_message(binding_request, 9), way);
    send(success(9, 3478), way);
    is = probe().value();
    EXPECT_EQ(is.remote_requests, 1u);
    EXPECT_EQ(is.remote_responses, 1u);
    EXPECT_EQ(is.responses, 2u);
    EXPECT_EQ(is.mapped->port, 40002);
    EXPECT_TRUE(datapath_->strays().empty());
}
INSTANTIATE_TEST_SUITE_P(Hooks, ProbeWay, testing::ValuesIn(probe_ways()), name_of_way);

// What compares marks on the way: as it was sent, and no call's.
TEST_F(ProbeTest, ARequestWithTheProbesPacketMarkKeepsItsMarkAndIsNone) {
    for (const Way& way : {tc_, Way{"Tc6", probed6, false, Shape::Plain}}) {
        const Bytes frame = frame_of(way, KUDO_EGRESS, stun_message(binding_request, 1), KUDO_STUN_PORT);
        const RunResult probe_of_ours = datapath_->run_tc(KUDO_EGRESS, frame, {.mark = KUDO_PROBE_MARK});
        EXPECT_EQ(probe_of_ours.error, 0);
        EXPECT_EQ(probe_of_ours.frame, frame);
        EXPECT_EQ(probe_of_ours.skb.mark, KUDO_PROBE_MARK);
        EXPECT_EQ(probe_of_ours.skb.priority, default_marks()[KUDO_TREATMENT_AUDIO].priority);
        EXPECT_FALSE(probe().has_value());
        const RunResult other = datapath_->run_tc(KUDO_EGRESS, frame, {.mark = KUDO_PROBE_MARK + 1});
        EXPECT_NE(other.frame, frame) << "marked";
        EXPECT_EQ(probe().value().requests, 1u);
        load({});
    }
}

TEST_F(ProbeTest, NobodyElseEntersAnything) {
    for (uint16_t port = 1; port < 100; port++) {
        receive(stun_message(binding_request, 1), tc_);
        receive(success(1, port), tc_);
    }
    EXPECT_FALSE(probe().has_value());
}

TEST_F(ProbeTest, AnErrorIsAResponseWithoutAnAddress) {
    send(stun_message(allocate_request, 1), tc_);
    receive(stun_message(allocate_error, 1), tc_);
    EXPECT_EQ(probe()->responses, 1u);
    EXPECT_FALSE(probe()->mapped.has_value());
}

TEST_F(ProbeTest, WhatIsInsideOfTurnIsNotOfThisPath) {
    send(channel_data(stun_message(binding_request, 1)), tc_);
    send(stun(0x0016, peer4 + attribute(0x0013, stun_message(binding_request, 1))), tc_);
    EXPECT_FALSE(probe().has_value());
}

TEST_F(ProbeTest, StrangersAreNotProbed) {
    send(stun_message(binding_request, 1), plain_);
    EXPECT_FALSE(probe().has_value());
    EXPECT_EQ(datapath_->strays().size(), 1u);
}

TEST_F(ProbeTest, IncomingMediaIsInbound) {
    send(stun_message(binding_request, 1), tc_);
    EXPECT_FALSE(probe()->last_inbound.has_value());
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(5);
    for (uint16_t i = 0; !probe()->last_inbound && std::chrono::steady_clock::now() < end; i++)
        receive(rtp_packet({.ssrc = 1, .timestamp = i * 960u, .sequence = i}), tc_);
    EXPECT_TRUE(probe()->last_inbound.has_value());
}

} // namespace
} // namespace kudo::test
