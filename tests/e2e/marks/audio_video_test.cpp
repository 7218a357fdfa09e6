// SPDX-License-Identifier: MIT
// A bundle of one Opus-like and one VP8-like stream on one flow: which DSCP each packet has when it arrives.
// Invariant: sent as real senders do, in TURN ChannelData, in Send indications or bare; judged by whole frames on the
// far end.
#include "tests/e2e/link_fixture.h"

#include <netinet/in.h>

#include <map>
#include <thread>

namespace kudo::test {
namespace {

constexpr int ef = 46, af41 = 34;
constexpr uint32_t audio_ssrc = 0xa0d10000, video_ssrc = 0x71de0000;

void append16(Bytes& bytes, uint32_t value) {
    bytes.push_back(static_cast<uint8_t>(value >> 8));
    bytes.push_back(static_cast<uint8_t>(value));
}
void append32(Bytes& bytes, uint32_t value) {
    append16(bytes, value >> 16);
    append16(bytes, value);
}

enum class Wrapping { Bare, ChannelData, SendIndication };

Bytes wrapped(const Bytes& inner, Wrapping wrapping) {
    Bytes bytes;
    const auto size = static_cast<uint32_t>(inner.size());
    if (wrapping == Wrapping::Bare) return inner;
    if (wrapping == Wrapping::ChannelData) {
        append16(bytes, 0x4001);
        append16(bytes, size);
        bytes.insert(bytes.end(), inner.begin(), inner.end());
        return bytes;
    }
    const uint32_t padded = (size + 3) & ~3u;
    append16(bytes, 0x0016); // Send indication
    append16(bytes, 12 + 4 + padded);
    append32(bytes, 0x2112a442);
    for (int i = 0; i < 3; i++)
        append32(bytes, 0x01020304);
    append32(bytes, 0x00120008); // XOR-PEER-ADDRESS
    append32(bytes, 0x0001aaaa);
    append32(bytes, 0xbbbbbbbb);
    append16(bytes, 0x0013); // DATA
    append16(bytes, size);
    bytes.insert(bytes.end(), inner.begin(), inner.end());
    bytes.resize(20 + 12 + 4 + padded);
    return bytes;
}

Bytes rtp(uint8_t payload_type, uint16_t sequence, uint32_t timestamp, uint32_t ssrc, std::size_t size) {
    Bytes bytes = {0x80, payload_type};
    append16(bytes, sequence);
    append32(bytes, timestamp);
    append32(bytes, ssrc);
    bytes.resize(size, 0x77);
    return bytes;
}

class AudioVideo : public LineTest {
protected:
    void SetUp() override {
        LineTest::SetUp();
        if (IsSkipped() || HasFatalFailure()) return;
        enable();
        quieten();
    }
    // Sends two seconds of the bundle, 20 ms a turn, and gives the DSCPs of each SSRC's packets as they arrived.
    std::map<uint32_t, std::vector<int>> send_bundle(Wrapping wrapping, const std::string& remote = media_address) {
        const bool v6 = remote.find(':') != std::string::npos;
        const Fd socket = udp_socket(test_->host, {v6 ? host_address6 : host_address, 50100});
        Capture capture(test_->far, "eth0", 2048);
        uint16_t audio_sequence = 65500, video_sequence = 7;
        uint32_t offset = wrapping == Wrapping::Bare ? 0 : wrapping == Wrapping::ChannelData ? 4 : 36;
        for (uint32_t turn = 0; turn < 100; turn++) {
            send_datagram(socket.get(), {remote, 3478},
                          wrapped(rtp(111, audio_sequence++, 4000000000u + turn * 960, audio_ssrc, 172), wrapping));
            if (turn % 2 != 0) continue;
            for (int part = 0; part < 8; part++)
                send_datagram(socket.get(), {remote, 3478},
                              wrapped(rtp(96, video_sequence++, 90000 + turn * 1800, video_ssrc, 1000), wrapping));
        }
        std::map<uint32_t, std::vector<int>> arrived;
        for (const Frame& frame : capture.finish()) {
            const auto seen = see_frame(frame.bytes);
            if (!seen || frame.outgoing || seen->destination_port != 3478) continue;
            const uint8_t* ssrc = seen->payload.data() + offset + 8;
            arrived[uint32_t(ssrc[0]) << 24 | uint32_t(ssrc[1]) << 16 | uint32_t(ssrc[2]) << 8 | ssrc[3]].push_back(
                seen->dsfield >> 2);
        }
        return arrived;
    }
    static void expect_right(const std::map<uint32_t, std::vector<int>>& arrived) {
        ASSERT_EQ(arrived.size(), 2u);
        const auto wrong = [&](uint32_t ssrc, int right) {
            const auto& marks = arrived.at(ssrc);
            return std::count_if(marks.begin() + 10, marks.end(), [&](int mark) { return mark != right; });
        };
        ASSERT_EQ(arrived.at(audio_ssrc).size(), 100u);
        ASSERT_EQ(arrived.at(video_ssrc).size(), 400u);
        EXPECT_EQ(wrong(audio_ssrc, ef), 0);
        EXPECT_EQ(wrong(video_ssrc, af41), 0);
        EXPECT_EQ(arrived.at(audio_ssrc).front(), af41) << "guessed from one packet";
        EXPECT_EQ(std::count(arrived.at(video_ssrc).begin(), arrived.at(video_ssrc).end(), ef), 0);
    }
};

TEST_F(AudioVideo, AreMarkedApartInChannelData) {
    expect_right(send_bundle(Wrapping::ChannelData));
}

TEST_F(AudioVideo, AreMarkedApartInSendIndications) {
    expect_right(send_bundle(Wrapping::SendIndication));
}

TEST_F(AudioVideo, AreMarkedApartWithoutTurn) {
    expect_right(send_bundle(Wrapping::Bare));
}

TEST_F(AudioVideo, AreMarkedApartOverIPv6) {
    apply_map_with_ipv6();
    expect_right(send_bundle(Wrapping::ChannelData, media_address6));
}

TEST_F(AudioVideo, KeepTheirMarksWhenThePolicyIsSwapped) {
    send_bundle(Wrapping::ChannelData);
    enable({"--mark", "control=none"});
    const auto arrived = send_bundle(Wrapping::ChannelData);
    EXPECT_EQ(arrived.at(audio_ssrc).back(), ef);
}

TEST_F(AudioVideo, StatsSaysWhichSsrcIsWhatAndWhy) {
    send_bundle(Wrapping::ChannelData);
    const auto stats = test_->stats();
    for (const auto& flow : stats.at("flows")) {
        if (flow.at("local_port") != 50100) continue;
        ASSERT_EQ(flow.at("rtp").size(), 2u) << flow;
        const auto &video = flow.at("rtp").at(0), &audio = flow.at("rtp").at(1);
        EXPECT_EQ(audio.at("ssrc"), "0xa0d10000");
        EXPECT_EQ(audio.at("kind"), "audio");
        EXPECT_EQ(audio.at("packets"), 100);
        EXPECT_EQ(audio.at("why"), "each packet one audio frame after the last (960 ticks), at most 172 bytes");
        EXPECT_EQ(video.at("kind"), "video");
        EXPECT_EQ(video.at("packets"), 400);
        EXPECT_EQ(video.at("why"),
                  "several packets of up to 1000 bytes share a timestamp, as the parts of a video frame do");
        return;
    }
    ADD_FAILURE() << "no such flow";
}

} // namespace
} // namespace kudo::test
