// SPDX-License-Identifier: MIT
// What a media datagram carries, and which RTP streams are audio or video.
// Invariant: each test names one behaviour; streams are built as real senders make them.
#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <string>

#include "bpf/rtp.h"
#include "tests/support/packet_builder.h"

namespace kudo::test {
namespace {

Bytes be16(uint32_t value) {
    return {static_cast<uint8_t>(value >> 8), static_cast<uint8_t>(value)};
}
Bytes be32(uint32_t value) {
    return {static_cast<uint8_t>(value >> 24), static_cast<uint8_t>(value >> 16), static_cast<uint8_t>(value >> 8),
            static_cast<uint8_t>(value)};
}
Bytes operator+(Bytes a, const Bytes& b) {
    a.insert(a.end(), b.begin(), b.end());
    return a;
}

struct Rtp {
    uint32_t ssrc = 0x11223344, timestamp = 0;
    uint16_t sequence = 0;
    uint8_t payload_type = 111;
    std::size_t size = 172;
};
Bytes rtp_packet(const Rtp& rtp) {
    Bytes bytes = Bytes{0x80, rtp.payload_type} + be16(rtp.sequence) + be32(rtp.timestamp) + be32(rtp.ssrc);
    bytes.resize(rtp.size, 0x5a);
    return bytes;
}
Bytes channel_data(const Bytes& inner) {
    return be16(0x4001) + be16(static_cast<uint32_t>(inner.size())) + inner;
}
Bytes attribute(uint32_t type, const Bytes& value) {
    Bytes bytes = be16(type) + be16(static_cast<uint32_t>(value.size())) + value;
    bytes.resize((bytes.size() + 3) & ~std::size_t{3});
    return bytes;
}
Bytes stun(uint32_t type, const Bytes& attributes) {
    return be16(type) + be16(static_cast<uint32_t>(attributes.size())) + be32(KUDO_STUN_COOKIE) + Bytes(12, 7) +
           attributes;
}
const Bytes peer4 = attribute(0x0012, Bytes(8, 1)), peer6 = attribute(0x0012, Bytes(20, 1));

kudo_rtp_packet read(const Bytes& datagram) {
    uint8_t window[KUDO_RTP_WINDOW];
    std::fill(std::begin(window), std::end(window), uint8_t{0x80}); // what lies behind must not matter
    const auto seen = static_cast<uint32_t>(std::min<std::size_t>(datagram.size(), KUDO_RTP_WINDOW));
    std::copy_n(datagram.begin(), seen, window);
    kudo_rtp_packet packet{};
    kudo_read_rtp(window, seen, static_cast<uint32_t>(datagram.size()), &packet);
    return packet;
}

TEST(RtpContent, IsToldByTheFirstByte) {
    EXPECT_EQ(read(rtp_packet({})).content, KUDO_CONTENT_RTP);
    EXPECT_EQ(read(stun(0x0001, {})).content, KUDO_CONTENT_STUN);
    EXPECT_EQ(read(Bytes{22, 254, 253} + Bytes(60, 0)).content, KUDO_CONTENT_DTLS);
    EXPECT_EQ(read(Bytes{0x2e, 1} + Bytes(60, 0)).content, KUDO_CONTENT_DTLS); // DTLS 1.3, epoch 2
    EXPECT_EQ(read(Bytes{0x80, 200} + Bytes(26, 0)).content, KUDO_CONTENT_RTCP);
    EXPECT_EQ(read(Bytes(40, 0xff)).content, KUDO_CONTENT_UNKNOWN);
    EXPECT_EQ(read(Bytes(40, 100)).content, KUDO_CONTENT_UNKNOWN);
}

TEST(RtpContent, StunNeedsItsCookieAndTlsItsVersion) {
    Bytes wrong = stun(0x0001, {});
    wrong[4] ^= 1;
    EXPECT_EQ(read(wrong).content, KUDO_CONTENT_UNKNOWN);
    EXPECT_EQ(read(Bytes{22, 3, 3} + Bytes(60, 0)).content, KUDO_CONTENT_UNKNOWN); // TLS over TCP
}

TEST(RtpContent, AnApplicationsDataOverDtlsIsNotItsHandshake) {
    EXPECT_EQ(read(Bytes{23, 254, 253} + Bytes(60, 0)).content, KUDO_CONTENT_UNKNOWN);
    EXPECT_EQ(read(Bytes{0x2f, 1} + Bytes(60, 0)).content, KUDO_CONTENT_UNKNOWN); // DTLS 1.3, epoch 3
}

TEST(RtpContent, ReadsTheHeader) {
    Bytes bytes = rtp_packet({.ssrc = 0xdeadbeef, .timestamp = 0x01020304, .sequence = 0xfffe, .payload_type = 96});
    bytes[1] |= 0x80;
    const kudo_rtp_packet packet = read(bytes);
    EXPECT_EQ(packet.ssrc, 0xdeadbeefu);
    EXPECT_EQ(packet.timestamp, 0x01020304u);
    EXPECT_EQ(packet.sequence, 0xfffe);
    EXPECT_EQ(packet.payload_type, 96);
    EXPECT_EQ(packet.size, 172u);
}

TEST(RtpContent, OfRtcpIsTheSendersSsrc) {
    EXPECT_EQ(read(Bytes{0x80, 201, 0, 1} + be32(0x01020304) + Bytes(8, 0)).ssrc, 0x01020304u);
}

TEST(RtpContent, IsFoundInChannelData) {
    const kudo_rtp_packet packet = read(channel_data(rtp_packet({.ssrc = 77})));
    EXPECT_EQ(packet.content, KUDO_CONTENT_RTP);
    EXPECT_EQ(packet.ssrc, 77u);
    EXPECT_EQ(packet.size, 172u);
    EXPECT_EQ(read(channel_data(stun(0x0001, {}))).content, KUDO_CONTENT_STUN);
}

TEST(RtpContent, ChannelDatasLengthCountsAndItsPaddingDoesNot) {
    EXPECT_EQ(read(channel_data(rtp_packet({.size = 29})) + Bytes(3, 0)).size, 29u);
    Bytes longer = channel_data(rtp_packet({}));
    longer[3]++; // says more than there is
    EXPECT_EQ(read(longer).content, KUDO_CONTENT_UNKNOWN);
    EXPECT_EQ(read(channel_data(Bytes(11, 0x80)) + Bytes(8, 0)).content, KUDO_CONTENT_UNKNOWN);
}

TEST(RtpContent, IsFoundInSendAndDataIndications) {
    for (const uint32_t type : {0x0016u, 0x0017u})
        for (const Bytes& peer : {peer4, peer6}) {
            const kudo_rtp_packet packet = read(stun(type, peer + attribute(0x0013, rtp_packet({.ssrc = 9}))));
            EXPECT_EQ(packet.content, KUDO_CONTENT_RTP);
            EXPECT_EQ(packet.ssrc, 9u);
            EXPECT_EQ(packet.size, 172u);
        }
    // DONT-FRAGMENT before, FINGERPRINT behind.
    EXPECT_EQ(read(stun(0x0016, peer6 + attribute(0x001a, {}) + attribute(0x0013, rtp_packet({})) +
                                    attribute(0x8028, Bytes(4, 0))))
                  .content,
              KUDO_CONTENT_RTP);
}

TEST(RtpContent, AnIndicationWhoseDataIsNotSeenIsUnknown) {
    EXPECT_EQ(read(stun(0x0016, peer4)).content, KUDO_CONTENT_UNKNOWN);
    Bytes longer = stun(0x0016, peer4 + attribute(0x0013, rtp_packet({})));
    longer[20 + peer4.size() + 2] = 0xff; // DATA says more than there is
    EXPECT_EQ(read(longer).content, KUDO_CONTENT_UNKNOWN);
    const Bytes far = attribute(0x8022, Bytes(60, 1)); // SOFTWARE, before DATA
    EXPECT_EQ(read(stun(0x0016, peer6 + far + attribute(0x0013, rtp_packet({})))).content, KUDO_CONTENT_UNKNOWN);
    // Any other message that carries DATA is no indication.
    EXPECT_EQ(read(stun(0x0001, attribute(0x0013, rtp_packet({})))).content, KUDO_CONTENT_STUN);
}

TEST(RtpContent, NothingCutShortIsRead) {
    for (const Bytes& whole : {rtp_packet({}), channel_data(rtp_packet({.size = 12})),
                               stun(0x0016, peer4 + attribute(0x0013, rtp_packet({.size = 12})))})
        for (std::size_t size = 0; size < whole.size(); size++) {
            const kudo_rtp_packet packet =
                read(Bytes(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(size)));
            EXPECT_TRUE(packet.content != KUDO_CONTENT_RTP || size >= KUDO_RTP_HEADER) << size;
        }
}

// Judges a stream packet by packet.
class Listener {
public:
    kudo_rtp_kind hear(const Rtp& rtp) {
        const kudo_rtp_packet packet = read(rtp_packet(rtp));
        kudo_observe_rtp(&stream, &packet);
        return static_cast<kudo_rtp_kind>(stream.kind);
    }
    kudo_rtp_stream stream{};
};

// How many packets it takes until the stream is called `kind`, never anything else before; 0: not within 100.
template <typename Next> unsigned packets_until(kudo_rtp_kind kind, Next next) {
    Listener listener;
    for (unsigned i = 1; i <= 100; i++) {
        const kudo_rtp_kind heard = listener.hear(next(i));
        if (heard == kind) return i;
        if (heard != KUDO_RTP_UNKNOWN) return 0;
    }
    return 0;
}

Rtp audio(unsigned i, uint32_t frame, std::size_t size = 172) {
    return {.timestamp = 0xffffff00u + i * frame, .sequence = static_cast<uint16_t>(65530 + i), .size = size};
}
// `parts` packets for each picture, `step` ticks from one to the next.
Rtp video(unsigned i, uint32_t step, unsigned parts, std::size_t size = 1100) {
    return {
        .timestamp = 90000 + i / parts * step, .sequence = static_cast<uint16_t>(i), .payload_type = 96, .size = size};
}

TEST(RtpKind, IsNeverGuessedFromOnePacket) {
    Listener listener;
    EXPECT_EQ(listener.hear(audio(1, 960)), KUDO_RTP_UNKNOWN);
    EXPECT_EQ(listener.hear(audio(2, 960)), KUDO_RTP_UNKNOWN);
    Listener second;
    EXPECT_EQ(second.hear(video(0, 3600, 8)), KUDO_RTP_UNKNOWN);
    EXPECT_EQ(second.hear(video(1, 3600, 8)), KUDO_RTP_UNKNOWN);
}

TEST(RtpKind, AudioIsHeardWithinTenPackets) {
    struct Codec {
        const char* name;
        uint32_t frame;
        std::size_t size;
    };
    for (const auto& [name, frame, size] :
         {Codec{"Opus, 20 ms", 960, 172}, Codec{"Opus, 2.5 ms", 120, 40}, Codec{"Opus, 60 ms", 2880, 400},
          Codec{"Opus, 120 ms", 5760, 380}, Codec{"G.711, 20 ms", 160, 182}, Codec{"G.711, 30 ms", 240, 262},
          Codec{"G.722, 10 ms", 80, 100}, Codec{"16 kHz, 20 ms", 320, 90}, Codec{"16 kHz, 40 ms", 640, 150},
          Codec{"Opus in stereo for music", 960, 900}}) {
        const unsigned count =
            packets_until(KUDO_RTP_AUDIO, [frame = frame, size = size](unsigned i) { return audio(i, frame, size); });
        EXPECT_GT(count, 3u) << name;
        EXPECT_LE(count, 10u) << name;
    }
}

TEST(RtpKind, VideoIsSeenWithinTenPackets) {
    for (const uint32_t step : {1500u, 3000u, 3003u, 3600u, 4500u, 6000u, 9000u, 18000u, 90000u})
        for (const unsigned parts : {1u, 2u, 3u, 8u}) {
            const unsigned count = packets_until(KUDO_RTP_VIDEO, [&](unsigned i) { return video(i, step, parts); });
            EXPECT_GT(count, 2u) << step << " " << parts;
            EXPECT_LE(count, 10u) << step << " " << parts;
        }
}

TEST(RtpKind, ASmallThumbnailIsVideoToo) {
    EXPECT_NE(packets_until(KUDO_RTP_VIDEO, [](unsigned i) { return video(i, 6000, 1, 300); }), 0u);
}

TEST(RtpKind, PicturesThatComeInWholeMillisecondsAreNotAudio) {
    for (const uint32_t step : {1440u, 2880u, 4320u, 5760u}) {
        Listener listener;
        for (unsigned i = 0; i < 200; i++) // every thirtieth is a whole picture
            EXPECT_NE(listener.hear(video(i, step, 1, i % 30 == 29 ? 1100 : 700)), KUDO_RTP_AUDIO) << step;
    }
}

TEST(RtpKind, PausesBetweenSpurtsAreNoEvidenceOnceItIsAudio) {
    Listener listener;
    Rtp rtp{.size = 182}; // G.711, 20 ms, silence left out
    for (int i = 0; i < 20; i++, rtp.sequence++, rtp.timestamp += 160)
        listener.hear(rtp);
    for (uint32_t spurt = 0; spurt < 100; spurt++) {
        rtp.timestamp += 160 * (5 + spurt % 37);
        for (int i = 0; i < 2; i++, rtp.sequence++, rtp.timestamp += 160)
            EXPECT_EQ(listener.hear(rtp), KUDO_RTP_AUDIO);
    }
}

TEST(RtpKind, PicturesAtTheClocksWhimAreVideo) {
    std::mt19937 random(1);
    uint32_t timestamp = 5;
    const auto next = [&](unsigned i) {
        if (i % 4 == 0)
            timestamp += 2950 + static_cast<uint32_t>(random() % 100); // a camera's clock against the sender's
        return Rtp{.timestamp = timestamp, .sequence = static_cast<uint16_t>(i), .payload_type = 96, .size = 1150};
    };
    EXPECT_LE(packets_until(KUDO_RTP_VIDEO, next) - 1, 9u);
}

TEST(RtpKind, SilenceDoesNotMakeAudioVideo) {
    Listener listener;
    Rtp rtp;
    for (int i = 0; i < 20; i++, rtp.sequence++, rtp.timestamp += 960)
        listener.hear(rtp);
    EXPECT_EQ(listener.stream.kind, KUDO_RTP_AUDIO);
    rtp.size = 30; // discontinuous transmission: one small packet every 400 ms
    for (int i = 0; i < 200; i++, rtp.sequence++, rtp.timestamp += 20 * 960)
        EXPECT_EQ(listener.hear(rtp), KUDO_RTP_AUDIO);
}

TEST(RtpKind, AStreamThatBeginsInSilenceIsAudioOnceItSpeaks) {
    Listener listener;
    Rtp rtp{.size = 30};
    for (int i = 0; i < 50; i++, rtp.sequence++, rtp.timestamp += 20 * 960)
        EXPECT_NE(listener.hear(rtp), KUDO_RTP_VIDEO);
    rtp.size = 172;
    for (int i = 0; i < 6; i++, rtp.sequence++, rtp.timestamp += 960)
        listener.hear(rtp);
    EXPECT_EQ(listener.stream.kind, KUDO_RTP_AUDIO);
}

TEST(RtpKind, TelephoneEventsDoNotMakeAudioVideo) {
    Listener listener;
    Rtp rtp;
    for (int i = 0; i < 20; i++, rtp.sequence++, rtp.timestamp += 960)
        listener.hear(rtp);
    rtp.size = 30;
    rtp.payload_type = 126;
    for (int i = 0; i < 100; i++, rtp.sequence++) // one key held down: one timestamp
        EXPECT_EQ(listener.hear(rtp), KUDO_RTP_AUDIO);
}

TEST(RtpKind, LossAndReorderingAreNoEvidence) {
    Listener listener;
    for (unsigned i = 0; i < 200; i += 2)
        EXPECT_EQ(listener.hear(audio(i, 960)), KUDO_RTP_UNKNOWN) << "every second packet is missing";
    Listener second;
    for (unsigned i = 0; i < 40; i++)
        second.hear(audio(i, 960));
    ASSERT_EQ(second.stream.kind, KUDO_RTP_AUDIO);
    for (const unsigned i : {42u, 41u, 40u, 44u, 43u, 45u})
        EXPECT_EQ(second.hear(audio(i, 960)), KUDO_RTP_AUDIO);
    EXPECT_EQ(second.stream.sequence, audio(45, 960).sequence);
}

TEST(RtpKind, ASenderThatBeginsAnewIsFollowed) {
    Listener listener;
    for (unsigned i = 0; i < 20; i++)
        listener.hear(audio(i, 960));
    Rtp rtp{.timestamp = 7, .sequence = 100};
    for (int i = 0; i < 20; i++, rtp.sequence++, rtp.timestamp += 960)
        EXPECT_EQ(listener.hear(rtp), KUDO_RTP_AUDIO);
    EXPECT_EQ(listener.stream.sequence, 119);
}

TEST(RtpKind, WhoChangesIsJudgedAnew) {
    Listener listener;
    for (unsigned i = 0; i < 50; i++)
        listener.hear(video(i, 3600, 8));
    ASSERT_EQ(listener.stream.kind, KUDO_RTP_VIDEO);
    Rtp rtp{.timestamp = 1000000, .sequence = 50};
    for (int i = 0; i < 20; i++, rtp.sequence++, rtp.timestamp += 960)
        listener.hear(rtp);
    EXPECT_EQ(listener.stream.kind, KUDO_RTP_AUDIO);
}

TEST(RtpTreatment, StunAndDtlsGoWithAudioAndTheUnknownWithVideo) {
    kudo_rtp_stream stream{};
    EXPECT_EQ(kudo_media_treatment(KUDO_CONTENT_STUN, nullptr), KUDO_TREATMENT_AUDIO);
    EXPECT_EQ(kudo_media_treatment(KUDO_CONTENT_DTLS, nullptr), KUDO_TREATMENT_AUDIO);
    EXPECT_EQ(kudo_media_treatment(KUDO_CONTENT_UNKNOWN, nullptr), KUDO_TREATMENT_VIDEO);
    EXPECT_EQ(kudo_media_treatment(KUDO_CONTENT_RTP, &stream), KUDO_TREATMENT_VIDEO);
    stream.kind = KUDO_RTP_AUDIO;
    EXPECT_EQ(kudo_media_treatment(KUDO_CONTENT_RTP, &stream), KUDO_TREATMENT_AUDIO);
    EXPECT_EQ(kudo_media_treatment(KUDO_CONTENT_RTCP, &stream), KUDO_TREATMENT_AUDIO);
    stream.kind = KUDO_RTP_VIDEO;
    EXPECT_EQ(kudo_media_treatment(KUDO_CONTENT_RTCP, &stream), KUDO_TREATMENT_VIDEO);
}

} // namespace
} // namespace kudo::test
