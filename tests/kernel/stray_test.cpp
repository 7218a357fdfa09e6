// SPDX-License-Identifier: MIT
// Strays: which STUN messages of strangers the programs note, on every hook and in every wrapping, and which not.
// Invariant: expectations are written out by hand.
#include "bpf/stun.h"
#include "tests/kernel/stranger_frames.h"
#include "tests/support/stun_message.h"

namespace kudo::test {
namespace {

class StrayTest : public StrangerTest {
protected:
    StrayTest() : StrangerTest(KUDO_STUN_PORT) {}
};
using StrayWay = OnAWay<StrayTest>;

TEST_P(StrayWay, ARequestIsNotedAndItsAnswerToo) {
    const Way& way = GetParam();
    receive(stun_message(binding_success), way);
    EXPECT_TRUE(datapath_->strays().empty()) << "an answer to nothing";
    send(stun_message(binding_request), way);
    auto strays = datapath_->strays();
    ASSERT_EQ(strays.size(), 1u);
    ASSERT_TRUE(strays.contains(way.remote)) << strays.begin()->first;
    kudo_stray stray = strays.at(way.remote);
    EXPECT_EQ(stray.requests, 1u);
    EXPECT_EQ(stray.responses, 0u);
    EXPECT_EQ(stray.first_response, 0u);
    EXPECT_EQ(stray.last_response, 0u);
    EXPECT_EQ(stray.interface, 1u); // the test run's, lo
    receive(stun_message(binding_success, 8), way);
    EXPECT_EQ(datapath_->strays().at(way.remote).responses, 0u) << "another transaction's";
    receive(stun_message(binding_success), way);
    stray = datapath_->strays().at(way.remote);
    EXPECT_EQ(stray.requests, 1u);
    EXPECT_EQ(stray.responses, 1u);
    EXPECT_GT(stray.first_response, 0u);
    EXPECT_EQ(stray.first_response, stray.last_response);
    // Judged and counted once each, as any stranger's.
    const auto counters = datapath_->counters();
    EXPECT_EQ(counters->reasons[KUDO_REASON_STRANGER][KUDO_EGRESS].packets, 1u);
    EXPECT_EQ(counters->reasons[KUDO_REASON_STRANGER][KUDO_INGRESS].packets, 3u);
    EXPECT_TRUE(datapath_->flows().empty());
}

INSTANTIATE_TEST_SUITE_P(Hooks, StrayWay, testing::ValuesIn(all_ways()), name_of_way);

TEST_F(StrayTest, AnAnswerCountsOnceAndOnlyThatToTheLastRequest) {
    send(stun_message(binding_request, 1), plain_);
    send(stun_message(binding_request, 2), plain_);
    receive(stun_message(binding_success, 1), plain_);
    EXPECT_EQ(datapath_->strays().at(plain_.remote).responses, 0u);
    for (int i = 0; i < 3; ++i)
        receive(stun_message(binding_success, 2), plain_);
    EXPECT_EQ(datapath_->strays().at(plain_.remote).responses, 1u);
    send(stun_message(allocate_request, 3), plain_);
    receive(stun_message(allocate_error, 3), plain_); // TURN asks for a password first
    const kudo_stray stray = datapath_->strays().at(plain_.remote);
    EXPECT_EQ(stray.requests, 3u);
    EXPECT_EQ(stray.responses, 2u);
}

TEST_F(StrayTest, EveryBitOfTheTransactionCounts) {
    for (std::size_t bit = 0; bit < 96; ++bit) {
        Bytes answer = stun_message(binding_success);
        answer[KUDO_STUN_TRANSACTION + bit / 8] =
            static_cast<uint8_t>(answer[KUDO_STUN_TRANSACTION + bit / 8] ^ 1u << bit % 8);
        send(stun_message(binding_request), plain_);
        receive(answer, plain_);
        ASSERT_EQ(datapath_->strays().at(plain_.remote).responses, 0u) << bit;
    }
}

TEST_F(StrayTest, OnlyRequestsGoOutAndOnlyAnswersComeIn) {
    for (const uint16_t type : {binding_indication, binding_success, binding_error})
        send(stun_message(type), plain_);
    receive(stun_message(binding_request), plain_);
    EXPECT_TRUE(datapath_->strays().empty());
    send(stun_message(binding_request), plain_);
    for (const uint16_t type : {binding_indication, binding_request})
        receive(stun_message(type), plain_);
    EXPECT_EQ(datapath_->strays().at(plain_.remote).responses, 0u);
}

TEST_F(StrayTest, OtherTrafficOfThePortIsNotNoted) {
    Bytes rtp = {0x80, 111, 0, 8, 0x21, 0x12, 0xa4, 0x42}, old = stun_message(binding_request);
    rtp.resize(172, 0x5a);
    old[4] = 0; // RFC 3489 had no cookie
    for (const char* remote : {plain_.remote, "3.123.12.200"}) {
        const Way way{"", remote, true, Shape::Plain};
        for (const Bytes& payload : {rtp, old, Bytes{}, Bytes(19, 0), Bytes(20, 0), Bytes(1200, 0xff)})
            send(payload, way);
        for (std::size_t size = 0; size < 28; ++size) {
            Bytes cut = stun_message(binding_request, 7, 8);
            cut.resize(size);
            send(cut, way);
        }
    }
    EXPECT_TRUE(datapath_->strays().empty());
}

TEST_F(StrayTest, OtherPortsTcpAndKnownRangesAreNotNoted) {
    constexpr uint16_t swapped = 0x960d; // 3478 with its bytes the other way round
    for (const uint16_t port : std::vector<uint16_t>{53, 443, 3477, 3479, 19302, swapped}) {
        send(stun_message(binding_request), plain_, port);
        send(stun_message(binding_request), {"", "3.123.12.200", true, Shape::Plain}, port);
    }
    for (const char* known : {"3.123.12.129", "2001:db8:77:1::5"})
        send(stun_message(binding_request), {"", known, true, Shape::Plain});
    const auto run = [&](const Packet& packet) { EXPECT_EQ(datapath_->run_tc(KUDO_EGRESS, packet.bytes()).error, 0); };
    const Raw request{.bytes = stun_message(binding_request)};
    for (const char* remote : {plain_.remote, "3.123.12.200"}) {
        const Packet ip = Ethernet{} / IPv4{.source = local4, .destination = remote};
        run(ip / Tcp{.source_port = local_port, .destination_port = KUDO_STUN_PORT} / request);
        // The port of this host's side does not matter.
        run(ip / Udp{.source_port = KUDO_STUN_PORT, .destination_port = local_port} / request);
    }
    EXPECT_TRUE(datapath_->strays().empty());
}

TEST_F(StrayTest, AnAnswerFromAnotherAddressOrPortIsNone) {
    send(stun_message(binding_request), plain_);
    receive(stun_message(binding_success), {"", "198.51.100.8", true, Shape::Plain});
    receive(stun_message(binding_success), plain_, 3479);
    const auto strays = datapath_->strays();
    ASSERT_EQ(strays.size(), 1u);
    EXPECT_EQ(strays.at(plain_.remote).responses, 0u);
}

TEST_F(StrayTest, OfASuperPacketTheFirstDatagramCounts) {
    Bytes payload = stun_message(binding_request, 1, 8);
    const Bytes second = stun_message(binding_request, 2, 8);
    payload.insert(payload.end(), second.begin(), second.end());
    for (const Shape shape : {Shape::Plain, Shape::Vlan}) {
        const Way way{"", plain_.remote, false, shape};
        load({});
        const SkbFields segmented{.segment_size = 28, .segments = 2};
        ASSERT_EQ(datapath_->run_tc(KUDO_EGRESS, frame_of(way, KUDO_EGRESS, payload, KUDO_STUN_PORT), segmented).error,
                  0);
        EXPECT_EQ(datapath_->strays().at(way.remote).requests, 1u);
        Bytes answers = stun_message(binding_success, 1, 8);
        answers.resize(2 * answers.size());
        ASSERT_EQ(
            datapath_->run_tc(KUDO_INGRESS, frame_of(way, KUDO_INGRESS, answers, KUDO_STUN_PORT), segmented).error, 0);
        EXPECT_EQ(datapath_->strays().at(way.remote).responses, 1u);
        EXPECT_EQ(datapath_->counters()->reasons[KUDO_REASON_STRANGER][KUDO_EGRESS].packets, 2u);
    }
    load({}); // a message that would reach into the second datagram
    const SkbFields segmented{.segment_size = 24, .segments = 2};
    ASSERT_EQ(datapath_
                  ->run_tc(KUDO_EGRESS,
                           frame_of(plain_, KUDO_EGRESS, stun_message(binding_request, 1, 28), KUDO_STUN_PORT),
                           segmented)
                  .error,
              0);
    EXPECT_TRUE(datapath_->strays().empty());
}

TEST_F(StrayTest, FragmentsAfterTheFirstAreNotLookedAt) {
    const Bytes frame = (Ethernet{} / IPv4{.source = local4, .destination = plain_.remote, .fragment_offset = 8} /
                         Udp{.source_port = 40000, .destination_port = 3478} / Raw{stun_message(binding_request)})
                            .bytes();
    ASSERT_EQ(datapath_->run_tc(KUDO_EGRESS, frame).error, 0);
    EXPECT_TRUE(datapath_->strays().empty());
}

TEST_F(StrayTest, WhoDoesNotCountDoesNotNote) {
    load({.ingress_counts = false});
    for (const char* remote : {plain_.remote, "3.123.12.200", "2a00:1450:4001::5"}) {
        for (const Shape shape : {Shape::Plain, Shape::Vlan}) {
            for (const bool by_xdp : {false, true}) {
                const Way way{"", remote, by_xdp, shape};
                send(stun_message(binding_request), way);
                receive(stun_message(binding_success), way);
            }
        }
        EXPECT_EQ(datapath_->strays().at(remote).requests, 4u);
        EXPECT_EQ(datapath_->strays().at(remote).responses, 0u);
    }
}

TEST_F(StrayTest, WithoutAMapNobodyIsAStray) {
    datapath_.emplace();
    for (const Shape shape : {Shape::Plain, Shape::Vlan})
        send(stun_message(binding_request), {"", plain_.remote, true, shape});
    EXPECT_EQ(datapath_->counters()->reasons[KUDO_REASON_NO_POLICY][KUDO_EGRESS].packets, 2u);
    EXPECT_TRUE(datapath_->strays().empty());
}

TEST_F(StrayTest, TheNewestStayWhenTheTableIsFull) {
    std::string remote;
    for (unsigned i = 0; i < 5000; ++i) {
        remote = "198.51." + std::to_string(i / 250) + "." + std::to_string(1 + i % 250);
        const Way way{"", remote.c_str(), true, Shape::Plain};
        send(stun_message(binding_request), way);
        receive(stun_message(binding_success), way);
    }
    const auto strays = datapath_->strays();
    EXPECT_LE(strays.size(), 1024u);
    EXPECT_GT(strays.size(), 500u);
    EXPECT_EQ(strays.at(remote).responses, 1u);
}

} // namespace
} // namespace kudo::test
