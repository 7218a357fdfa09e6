// SPDX-License-Identifier: MIT
// How the packets of recorded calls are treated, by the code that the programs run, without a kernel.
// Invariant: what the programs do with several streams of a flow is repeated here as in bpf/rtp.bpf.h.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>

#include "agent/datapath/rtp_streams.h"
#include "bpf/rtp.h"
#include "tests/support/recordings.h"

namespace kudo::test {
namespace {

// A flow's streams.
class Call {
public:
    // Is the packet EF?
    bool hear(const RecordedPacket& recorded, uint64_t now = 0) {
        const Bytes bytes = rtp_bytes(recorded);
        uint8_t window[KUDO_RTP_WINDOW] = {};
        const auto size = static_cast<uint32_t>(bytes.size()), seen = std::min<uint32_t>(size, sizeof window);
        std::copy_n(bytes.begin(), seen, window);
        kudo_rtp_packet packet{};
        kudo_read_rtp(window, seen, size, &packet);
        const auto [entry, is_new] = streams_.try_emplace(packet.ssrc);
        kudo_rtp_stream& stream = entry->second;
        if (is_new) {
            kudo_begin_rtp(&stream, &packet);
            stream.last_seen = now;
            return false;
        }
        const uint8_t kind = stream.kind;
        const bool fits = kudo_observe_rtp(&stream, &packet) != 0;
        stream.last_seen = now;
        if (stream.kind != kind && stream.kind == KUDO_RTP_AUDIO && kudo_rtp_may_repeat(&stream))
            for (const auto& [ssrc, video] : streams_)
                if (ssrc != packet.ssrc && kudo_rtp_repeats(&packet, &video)) kudo_rtp_call_repeated(&stream);
        return fits && kudo_media_treatment(packet.content, &stream) == KUDO_TREATMENT_AUDIO;
    }
    // As `stats` reads them, by SSRC.
    [[nodiscard]] std::vector<RtpStream> streams() const {
        std::vector<RtpStream> list;
        for (const auto& [ssrc, stream] : streams_)
            list.push_back({.ssrc = ssrc, .what = stream});
        find_repeats(list, 100);
        return list;
    }

private:
    std::map<uint32_t, kudo_rtp_stream> streams_;
};

TEST(RtpRecordings, AudioIsEfFromItsFifthPacketAndVideoNever) {
    ASSERT_GE(recordings().size(), 30u);
    DscpMatrix matrix;
    for (const Recording& recording : recordings()) {
        Call call;
        std::vector<bool> ef;
        for (const RecordedPacket& packet : recording.packets)
            ef.push_back(call.hear(packet));
        matrix.add(recording, ef);
    }
    fmt::print("{}", matrix.text());
    EXPECT_EQ(matrix.wrong(), "");
}

// Ingress: a twentieth is lost, and some packets come late.
TEST(RtpRecordings, LossAndReorderingDoNotMakeVideoEf) {
    for (const Recording& recording : recordings()) {
        std::vector<RecordedPacket> arriving;
        for (std::size_t i = 0; i < recording.packets.size(); i++)
            if (i * 2654435761u % 20 != 0) arriving.push_back(recording.packets[i]);
        for (std::size_t i = 3; i + 3 < arriving.size(); i += 17)
            std::swap(arriving[i], arriving[i + 2]);
        Call call;
        for (const RecordedPacket& packet : arriving) {
            const bool ef = call.hear(packet);
            if (recording.kinds[packet.stream] != "audio") {
                EXPECT_FALSE(ef) << recording.name << " " << packet.sequence;
            }
        }
    }
}

TEST(RtpRecordings, StreamsAreShownAsWhatTheyAre) {
    for (const Recording& recording : recordings()) {
        Call call;
        for (const RecordedPacket& packet : recording.packets)
            call.hear(packet);
        const auto streams = call.streams();
        ASSERT_EQ(streams.size(), recording.kinds.size()) << recording.name;
        for (std::size_t i = 0; i < streams.size(); i++)
            EXPECT_EQ(rtp_kind(streams[i]), recording.shown[streams[i].ssrc - recorded_ssrc(0)]) << recording.name;
    }
}

TEST(RtpRecordings, RetransmissionsAreKnownLongAfterTheLastOne) {
    const Recording& recording = test::recording("rtx-30fps-2m");
    Call call;
    uint64_t now = 1000;
    RecordedPacket last;
    for (const RecordedPacket& packet : recording.packets) {
        call.hear(packet, now);
        if (packet.stream == 0) last = packet;
    }
    for (int i = 0; i < 300 * 30; i++) { // five minutes
        last.sequence++;
        last.timestamp += 3000;
        call.hear(last, now = 1000 + static_cast<uint64_t>(i + 1) * 100 / 30);
    }
    const auto streams = call.streams();
    ASSERT_EQ(streams.size(), 2u);
    EXPECT_EQ(rtp_kind(streams[0]), "video");
    EXPECT_EQ(rtp_kind(streams[1]), "rtx");
    EXPECT_EQ(streams[1].repeats, recorded_ssrc(0));
    EXPECT_EQ(rtp_reason(streams[1]), "repeats the timestamps of 0x1a2b0000 by another payload type");
}

TEST(RtpRecordings, AStepBackwardsIsANegativeNumber) {
    Call call; // pictures in the order in which they are decoded
    RecordedPacket packet{.size = 900, .marker = true, .payload_type = 102};
    for (const uint32_t timestamp : {9000u, 3000u, 15000u, 12000u, 21000u, 18000u, 27000u, 24000u}) {
        packet.timestamp = timestamp;
        packet.sequence++;
        call.hear(packet);
    }
    EXPECT_EQ(rtp_reason(call.streams()[0]),
              "timestamps -3000 ticks apart, which no audio codec uses, at most 900 bytes");
}

} // namespace
} // namespace kudo::test
