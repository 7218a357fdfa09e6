// SPDX-License-Identifier: MIT
// The table of RTP streams as the programs keep it: each direction and family, a full bucket, forged streams.
#include <algorithm>
#include <set>

#include "agent/datapath/rtp_streams.h"
#include "bpf/rtp_table.h"
#include "tests/kernel/kernel_test.h"

namespace kudo::test {
namespace {

class RtpTable : public KernelTest {
protected:
    void SetUp() override {
        KernelTest::SetUp();
        if (IsSkipped()) return;
        datapath_.emplace();
        datapath_->publish(compile(overlapping_map(), options_for(KUDO_PRIORITISE), {}).value(), 1);
    }
    // The `number`th packet of an audio stream.
    void send(kudo_direction direction, uint32_t ssrc, uint16_t number = 0, bool ipv6 = false) {
        Raw rtp = Payload(172);
        const uint32_t timestamp = number * 960u;
        const uint8_t header[] = {0x80,
                                  111,
                                  static_cast<uint8_t>(number >> 8),
                                  static_cast<uint8_t>(number),
                                  static_cast<uint8_t>(timestamp >> 24),
                                  static_cast<uint8_t>(timestamp >> 16),
                                  static_cast<uint8_t>(timestamp >> 8),
                                  static_cast<uint8_t>(timestamp),
                                  static_cast<uint8_t>(ssrc >> 24),
                                  static_cast<uint8_t>(ssrc >> 16),
                                  static_cast<uint8_t>(ssrc >> 8),
                                  static_cast<uint8_t>(ssrc)};
        std::ranges::copy(header, rtp.bytes.begin());
        const std::string remote = ipv6 ? "2001:db8:1::9" : "3.7.161.1", local = ipv6 ? "2001:db8:9::2" : "192.0.2.2";
        const bool out = direction == KUDO_EGRESS;
        const Udp udp{.source_port = static_cast<uint16_t>(out ? 40000 : 3478),
                      .destination_port = static_cast<uint16_t>(out ? 3478 : 40000)};
        Packet packet = Ethernet{};
        if (ipv6)
            packet.add(IPv6{.source = out ? local : remote, .destination = out ? remote : local});
        else
            packet.add(IPv4{.source = out ? local : remote, .destination = out ? remote : local});
        packet.add(udp);
        packet.add(std::move(rtp));
        ASSERT_EQ(datapath_->run_tc(direction, packet.bytes()).error, 0);
    }
    [[nodiscard]] std::vector<RtpStream> streams() const {
        std::vector<RtpStream> all;
        const auto known = read_rtp_streams(datapath_->maps()).value();
        for (const auto& [flow, list] : known) {
            key_ = flow;
            all.insert(all.end(), list.begin(), list.end());
        }
        return all;
    }
    std::optional<Datapath> datapath_;
    mutable std::string key_; // of the last flow that was read
};

TEST_F(RtpTable, EachDirectionAndFamilyHasItsOwnStreams) {
    for (const bool ipv6 : {false, true})
        for (const auto direction : {KUDO_INGRESS, KUDO_EGRESS})
            for (uint16_t number = 0; number < (direction == KUDO_EGRESS ? 6 : 3); number++)
                send(direction, 0xa0d10000, number, ipv6);
    const auto known = read_rtp_streams(datapath_->maps()).value();
    ASSERT_EQ(known.size(), 2u);
    for (const auto& [flow, list] : known) {
        ASSERT_EQ(list.size(), 2u);
        EXPECT_EQ(list[0].direction, KUDO_INGRESS);
        EXPECT_EQ(list[0].what.packets, 3u);
        EXPECT_EQ(list[0].what.kind, KUDO_RTP_UNKNOWN);
        EXPECT_EQ(list[1].direction, KUDO_EGRESS);
        EXPECT_EQ(list[1].what.packets, 6u);
        EXPECT_EQ(list[1].what.kind, KUDO_RTP_AUDIO);
        EXPECT_EQ(list[1].ssrc, 0xa0d10000u);
    }
}

TEST_F(RtpTable, AFullBucketGivesAwayTheStreamThatIsSilentForLongest) {
    send(KUDO_EGRESS, 1);
    ASSERT_EQ(streams().size(), 1u);
    kudo_flow4_key flow{};
    ASSERT_EQ(key_.size(), sizeof flow);
    std::memcpy(&flow, key_.data(), sizeof flow);
    const auto bucket_of = [&](uint32_t ssrc) {
        return kudo_stream_bucket(kudo_stream_hash4(&flow, ssrc), KUDO_EGRESS, KUDO_RTP4_BUCKETS);
    };
    std::vector<uint32_t> neighbours = {1};
    for (uint32_t ssrc = 2; neighbours.size() < KUDO_RTP_WAYS + 1; ssrc++)
        if (bucket_of(ssrc) == bucket_of(1)) neighbours.push_back(ssrc);
    // Ticks apart: what is silent for longest is told by the kernel's clock. The first goes on, the second does not.
    for (std::size_t i = 1; i < neighbours.size(); i++) {
        const uint64_t now = datapath_->jiffies();
        while (datapath_->jiffies() < now + 2) {
        }
        send(KUDO_EGRESS, 1, static_cast<uint16_t>(i));
        send(KUDO_EGRESS, neighbours[i]);
    }
    std::set<uint32_t> left;
    for (const RtpStream& stream : streams())
        left.insert(stream.ssrc);
    std::set<uint32_t> expected(neighbours.begin(), neighbours.end());
    expected.erase(neighbours[1]);
    EXPECT_EQ(left, expected);
}

TEST_F(RtpTable, ForgedIncomingStreamsPushNoOutgoingOneOut) {
    for (uint16_t number = 0; number < 6; number++)
        send(KUDO_EGRESS, 0xa0d10000, number);
    for (uint32_t ssrc = 0; ssrc < 3 * KUDO_RTP_WAYS * KUDO_RTP4_BUCKETS; ssrc++)
        send(KUDO_INGRESS, ssrc * 2654435769u);
    const auto all = streams();
    const auto ours =
        std::ranges::find_if(all, [](const RtpStream& stream) { return stream.direction == KUDO_EGRESS; });
    ASSERT_NE(ours, all.end());
    EXPECT_EQ(ours->what.kind, KUDO_RTP_AUDIO);
    EXPECT_GT(all.size(), 0.99 * KUDO_RTP_WAYS * KUDO_RTP4_BUCKETS) << "the table was not full";
}

} // namespace
} // namespace kudo::test
