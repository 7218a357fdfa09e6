// SPDX-License-Identifier: MIT
// What the programs count of RTP streams, against the oracle: on every hook, in every wrapping, one by one and as
// segments of GSO packets. Invariant: times are the running kernel's, so what depends on them is only looked at where
// it takes no waiting.
#include <atomic>
#include <thread>

#include "agent/datapath/rtp_streams.h"
#include "bpf/rtp.h"
#include "tests/kernel/stranger_frames.h"
#include "tests/support/media_message.h"
#include "tests/support/rtp_oracle.h"

namespace kudo::test {
namespace {

constexpr const char *media4 = "3.123.12.129", *media6 = "2001:db8:77:1::9";

// What the RTP packet is in.
enum class Wrapping { Bare, Channel, Send4, Data6, DataBehindSoftware };
constexpr Wrapping all_wrappings[] = {Wrapping::Bare, Wrapping::Channel, Wrapping::Send4, Wrapping::Data6,
                                      Wrapping::DataBehindSoftware};

Bytes wrapped(Wrapping wrapping, const Bytes& rtp) {
    switch (wrapping) {
    case Wrapping::Channel:
        return channel_data(rtp);
    case Wrapping::Send4:
        return stun(KUDO_STUN_SEND_INDICATION, peer4 + attribute(KUDO_STUN_DATA, rtp));
    case Wrapping::Data6:
        return stun(KUDO_STUN_DATA_INDICATION, peer6 + attribute(KUDO_STUN_DATA, rtp));
    case Wrapping::DataBehindSoftware:
        return stun(KUDO_STUN_DATA_INDICATION,
                    peer4 + attribute(0x8022, Bytes(5, 'k')) + attribute(KUDO_STUN_DATA, rtp));
    default:
        return rtp;
    }
}

class MediaTest : public StrangerTest {
protected:
    MediaTest() : StrangerTest(KUDO_STUN_PORT) {}

    static Bytes datagram(Wrapping wrapping, uint32_t ssrc, const ArrivingRtp& packet, std::size_t size) {
        return wrapped(wrapping, rtp_packet({.ssrc = ssrc,
                                             .timestamp = packet.timestamp,
                                             .sequence = packet.sequence,
                                             .size = size,
                                             .padding = packet.padding}));
    }
    [[nodiscard]] std::map<uint32_t, RtpQuality> qualities(kudo_direction direction) const {
        std::map<uint32_t, RtpQuality> all;
        const auto known = read_rtp_streams(datapath_->maps()).value();
        for (const auto& [flow, list] : known)
            for (const RtpStream& stream : list)
                if (stream.direction == direction && stream.quality) all.emplace(stream.ssrc, *stream.quality);
        return all;
    }
    static void expect_truth(const RtpQuality& is, const std::vector<ArrivingRtp>& packets) {
        EXPECT_EQ(counts_of(is), counts_of(truth_of(packets, 48000)));
        EXPECT_EQ(is.unique + is.duplicate + is.late + is.unconfirmed, packets.size());
    }
};
using MediaWay = OnAWay<MediaTest>;

std::vector<Way> media_ways() {
    return {Way{"Tc", media4, false, Shape::Plain},
            Way{"TcObserved", media4, false, Shape::Plain, KUDO_OBSERVE},
            Way{"TcVlan", media4, false, Shape::Vlan},
            Way{"TcOptions", media4, false, Shape::Options},
            Way{"TcNoEthernet", media4, false, Shape::NoEthernet},
            Way{"Tc6", media6, false, Shape::Plain},
            Way{"Tc6Options", media6, false, Shape::Options},
            Way{"Tc6NoEthernet", media6, false, Shape::NoEthernet},
            Way{"Xdp", media4, true, Shape::Plain},
            Way{"XdpEnforced", media4, true, Shape::Plain, KUDO_ENFORCE},
            Way{"XdpQinQ", media4, true, Shape::QinQ},
            Way{"Xdp6", media6, true, Shape::Plain},
            Way{"Xdp6Options", media6, true, Shape::Options},
            Way{"XdpWithoutFrags", media4, true, Shape::Plain, KUDO_PRIORITISE, false}};
}

// 14 ways, 5 wrappings, in and out: 15 streams of each are 1050 in all.
TEST_P(MediaWay, EveryCountIsTheOraclesInEveryWrapping) {
    const Way& way = GetParam();
    std::mt19937_64 random(std::hash<std::string>{}(way.name));
    std::map<uint32_t, std::vector<ArrivingRtp>> sent;
    for (uint32_t i = 0; i < 75; i++) {
        RtpTroubles troubles = random_troubles(random);
        troubles.packets = 100 + troubles.packets % 600;
        const uint32_t ssrc = 0x1000 + i;
        sent[ssrc] = make_rtp(troubles, random(), 1'000'000'000);
        for (const ArrivingRtp& packet : sent[ssrc]) {
            // The shortest there is too: comfort noise.
            const Bytes payload = datagram(all_wrappings[i % 5], ssrc, packet, packet.sequence % 7 == 0 ? 13 : 172);
            if (i % 2 == 0)
                receive(payload, way);
            else
                send(payload, way);
        }
    }
    for (const auto direction : {KUDO_INGRESS, KUDO_EGRESS}) {
        const auto is = qualities(direction);
        for (const auto& [ssrc, packets] : sent) {
            if ((ssrc % 2 == 0) != (direction == KUDO_INGRESS) || packets.empty()) continue;
            SCOPED_TRACE(testing::Message() << "ssrc " << ssrc);
            ASSERT_TRUE(is.contains(ssrc));
            expect_truth(is.at(ssrc), packets);
            if (HasFailure()) return;
        }
    }
}
INSTANTIATE_TEST_SUITE_P(Hooks, MediaWay, testing::ValuesIn(media_ways()), name_of_way);

TEST_F(MediaTest, EachSegmentOfAGsoPacketCounts) {
    uint32_t ssrc = 0;
    for (const Wrapping wrapping : all_wrappings) {
        for (const bool ipv6 : {false, true}) {
            for (const auto direction : {KUDO_INGRESS, KUDO_EGRESS}) {
                ssrc++;
                RtpTroubles troubles;
                troubles.drop = 0.05;
                troubles.packets = 600;
                const auto packets = make_rtp(troubles, 9, 1'000'000'000);
                for (std::size_t i = 0; i < packets.size();) {
                    const std::size_t count = std::min<std::size_t>(1 + i % 20, packets.size() - i);
                    Bytes payload;
                    std::size_t segment = 0;
                    for (std::size_t k = 0; k < count; k++, i++) { // the last one shorter
                        const Bytes one = datagram(wrapping, ssrc, packets[i], k + 1 == count && k > 0 ? 60 : 100);
                        if (k == 0) segment = one.size();
                        payload.insert(payload.end(), one.begin(), one.end());
                    }
                    const Way way{"", ipv6 ? media6 : media4, false, Shape::Plain};
                    const Bytes frame = frame_of(way, direction, payload, KUDO_STUN_PORT);
                    ASSERT_EQ(datapath_
                                  ->run_tc(direction, frame,
                                           {.segment_size = static_cast<uint32_t>(count > 1 ? segment : 0),
                                            .segments = static_cast<uint32_t>(count > 1 ? count : 0)})
                                  .error,
                              0);
                }
                const auto is = qualities(direction);
                ASSERT_TRUE(is.contains(ssrc));
                SCOPED_TRACE(testing::Message() << static_cast<int>(wrapping) << " " << ipv6 << " " << direction);
                expect_truth(is.at(ssrc), packets);
                if (HasFailure()) return;
            }
        }
    }
}

TEST_F(MediaTest, AGsoPacketMayCarrySeveralStreams) {
    Bytes payload;
    for (uint16_t i = 0; i < 28; i++) {
        const Bytes one = datagram(Wrapping::Bare, 1 + i % 4u, {0, static_cast<uint16_t>(i / 4), i * 960u, false}, 100);
        payload.insert(payload.end(), one.begin(), one.end());
    }
    const Bytes frame = frame_of({"", media4, false, Shape::Plain}, KUDO_EGRESS, payload, KUDO_STUN_PORT);
    ASSERT_EQ(datapath_->run_tc(KUDO_EGRESS, frame, {.segment_size = 100, .segments = 28}).error, 0);
    const auto is = qualities(KUDO_EGRESS);
    ASSERT_EQ(is.size(), 4u);
    for (const auto& [ssrc, quality] : is)
        EXPECT_EQ(quality.unique, 7u) << ssrc;
}

TEST_F(MediaTest, OnlyTheProgramThatCountsAPacketFollowsIt) {
    load({.ingress_counts = false});
    for (uint16_t i = 0; i < 10; i++)
        receive(datagram(Wrapping::Bare, 1, {0, i, i * 960u, false}, 100), {"", media4, false, Shape::Plain});
    EXPECT_TRUE(qualities(KUDO_INGRESS).empty());
}

TEST_F(MediaTest, ARowGivenToAnotherStreamBeginsAnew) {
    const Way way{"", media4, false, Shape::Plain};
    for (uint16_t i = 0; i < 10; i++)
        send(datagram(Wrapping::Bare, 1, {0, static_cast<uint16_t>(i * 2), i * 960u, false}, 100), way);
    // More streams than the direction has rows, each with a second packet that nothing is missing before.
    constexpr uint32_t streams = 2 * KUDO_RTP_WAYS * KUDO_RTP4_BUCKETS;
    for (uint32_t ssrc = 2; ssrc < streams; ssrc++)
        for (const uint16_t sequence : {uint16_t{1}, uint16_t{2}})
            send(datagram(Wrapping::Bare, ssrc, {0, sequence, sequence * 960u, false}, 100), way);
    const auto is = qualities(KUDO_EGRESS);
    EXPECT_GT(is.size(), 0.99 * KUDO_RTP_WAYS * KUDO_RTP4_BUCKETS) << "the table was not full";
    for (const auto& [ssrc, quality] : is) {
        ASSERT_EQ(quality.unique, 2u) << ssrc;
        ASSERT_EQ(quality.lost + quality.pending + quality.restarts, 0u) << ssrc;
    }
}

TEST_F(MediaTest, WhoeverReadsSeesNoHalfOfAPacket) {
    std::atomic<bool> stop = false;
    std::thread sender([&] {
        const Way way{"", media4, false, Shape::Plain};
        for (uint32_t i = 0; !stop; i++) {
            if (i % 7 == 3) continue; // each seventh is missing
            send(datagram(Wrapping::Bare, 1, {0, static_cast<uint16_t>(i), i * 960u, false}, 100), way);
            // A second counts no more than 65535.
            std::this_thread::sleep_for(std::chrono::microseconds(20));
        }
    });
    unsigned readings = 0;
    uint64_t last = 0;
    for (int i = 0; i < 300; i++) {
        const auto all = qualities(KUDO_EGRESS);
        if (!all.contains(1)) continue;
        const RtpQuality& is = all.at(1);
        uint64_t received = 0, missing = 0;
        for (const RtpSecond& second : is.seconds)
            received += second.received, missing += second.missing;
        EXPECT_EQ(received, is.unique);
        EXPECT_EQ(missing, is.lost + is.pending);
        EXPECT_GE(is.unique, last);
        if (HasFailure()) break;
        readings += is.unique > last;
        last = is.unique;
    }
    stop = true;
    sender.join();
    EXPECT_GT(readings, 20u);
}

TEST_F(MediaTest, TenThousandStreamsTakeAtMost64MiB) {
    // What the tables have, they have from the beginning.
    const std::size_t rows =
        sizeof(kudo_rtp4_bucket) * KUDO_RTP4_BUCKETS + sizeof(kudo_rtp6_bucket) * KUDO_RTP6_BUCKETS;
    const std::size_t probes = (sizeof(kudo_stun_probe) + 128) * (4096 + 1024); // with the hash's own
    const std::size_t bytes = KUDO_DIRECTIONS * rows + sizeof(kudo_rtp_quality) * KUDO_RTP_ROWS + probes;
    EXPECT_LE(bytes, 64u << 20);
    EXPECT_GE(KUDO_RTP4_BUCKETS * KUDO_RTP_WAYS, 10'000);
    std::cout << bytes / 1024 << " KiB for " << KUDO_RTP_ROWS << " streams\n";
}

} // namespace
} // namespace kudo::test
