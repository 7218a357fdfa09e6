// SPDX-License-Identifier: MIT
// What a media datagram carries, and which RTP streams are audio or video.
// Invariant: each test names one behaviour; streams are built as real senders make them.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <random>
#include <string>

#include "bpf/rtp.h"
#include "tests/support/media_message.h"

namespace kudo::test {
namespace {

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
    EXPECT_EQ(read(bytes).marker, 0);
    EXPECT_EQ(read(bytes).padding, 0);
    bytes[0] |= 0x20;
    bytes[1] |= 0x80;
    const kudo_rtp_packet packet = read(bytes);
    EXPECT_EQ(packet.marker, 1);
    EXPECT_EQ(packet.padding, 1);
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

TEST(RtpContent, TheFastPathReadsWhatTheSlowOneDoes) {
    std::mt19937 random(7);
    unsigned taken = 0;
    for (int i = 0; i < 200000; i++) {
        Bytes datagram = rtp_packet({.ssrc = static_cast<uint32_t>(random()),
                                     .timestamp = static_cast<uint32_t>(random()),
                                     .sequence = static_cast<uint16_t>(random()),
                                     .payload_type = static_cast<uint8_t>(random() % 128),
                                     .size = 12 + random() % 30,
                                     .marker = random() % 2 == 0,
                                     .padding = random() % 2 == 0});
        if (random() % 2 == 0) datagram = channel_data(datagram);
        if (random() % 2 == 0) datagram[random() % 8] = static_cast<uint8_t>(random());
        if (datagram.size() < 16) continue;
        uint32_t words[4];
        std::memcpy(words, datagram.data(), sizeof words);
        kudo_rtp_packet fast{}, slow = read(datagram);
        if (!kudo_read_rtp_fast(words, static_cast<uint32_t>(datagram.size()), &fast)) {
            EXPECT_NE(slow.content, KUDO_CONTENT_RTP);
            continue;
        }
        taken++;
        EXPECT_EQ(std::memcmp(&fast, &slow, sizeof fast), 0) << i;
    }
    EXPECT_GT(taken, 100000u);
}

// Judges a stream packet by packet.
class Listener {
public:
    kudo_rtp_kind hear(const Rtp& rtp) {
        const kudo_rtp_packet packet = read(rtp_packet(rtp));
        if (stream.packets + stream.probes == 0)
            kudo_begin_rtp(&stream, &packet);
        else
            fits = kudo_observe_rtp(&stream, &packet) != 0;
        return static_cast<kudo_rtp_kind>(stream.kind);
    }
    // Is the packet EF?
    bool is_ef(const Rtp& rtp) { return hear(rtp) == KUDO_RTP_AUDIO && fits; }
    bool fits = false;
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
    return {.timestamp = 90000 + i / parts * step,
            .sequence = static_cast<uint16_t>(i),
            .payload_type = 96,
            .size = size,
            .marker = i % parts == parts - 1};
}

TEST(RtpKind, IsNeverGuessedFromOnePacket) {
    Listener listener;
    EXPECT_EQ(listener.hear(audio(1, 960)), KUDO_RTP_UNKNOWN);
    EXPECT_EQ(listener.hear(audio(2, 960)), KUDO_RTP_UNKNOWN);
    Listener second;
    EXPECT_EQ(second.hear(video(0, 3600, 8)), KUDO_RTP_UNKNOWN);
    EXPECT_EQ(second.hear(video(1, 3600, 8)), KUDO_RTP_UNKNOWN);
}

TEST(RtpKind, AudioIsHeardFromItsFourthPacketOnAndFromTheFifthAfterAMarker) {
    const std::vector<std::size_t> sizes = {24, 60, 172, 420, 760, 1099, 1300};
    // 2.5 to 120 ms of Opus, 10 to 120 ms on a clock of 8 kHz, 20 to 60 ms on one of 16 kHz.
    for (const uint32_t frame : {120u, 240u, 480u, 960u, 1440u, 1920u, 2880u, 3840u, 4800u, 5760u, 80u, 160u, 320u,
                                 400u, 560u, 640u, 720u, 800u, 880u})
        for (const std::size_t size : sizes)
            for (const bool marked : {false, true}) {
                const unsigned count = packets_until(KUDO_RTP_AUDIO, [&](unsigned i) {
                    Rtp rtp = audio(i, frame, size);
                    rtp.marker = marked && i == 1;
                    return rtp;
                });
                EXPECT_GE(count, 4u) << frame << " " << size;
                EXPECT_LE(count, marked ? 5u : 4u) << frame << " " << size;
            }
}

TEST(RtpKind, AnEncodersDelayIsNoEvidence) {
    EXPECT_LE(packets_until(KUDO_RTP_AUDIO,
                            [](unsigned i) {
                                return Rtp{.timestamp = i < 2 ? 0 : 648 + (i - 2) * 960,
                                           .sequence = static_cast<uint16_t>(i),
                                           .marker = i == 1};
                            }),
              5u);
}

TEST(RtpKind, ProbesOfTheBandwidthAreNoEvidence) {
    std::mt19937 random(3);
    for (const uint32_t frame : {160u, 960u, 2880u}) {
        Listener listener;
        uint16_t sequence = 65500;
        for (unsigned i = 1; i < 100; i++) {
            Rtp rtp = audio(i, frame);
            rtp.sequence = sequence++;
            EXPECT_EQ(listener.is_ef(rtp), i > 3) << frame << " " << i;
            rtp.padding = true;
            for (auto probes = random() % 4; probes > 0; probes--) {
                rtp.sequence = sequence++;
                rtp.size = 84 + random() % 210;
                EXPECT_FALSE(listener.is_ef(rtp)) << "nobody hears it";
            }
        }
        EXPECT_EQ(listener.stream.packets, 99u);
        EXPECT_GT(listener.stream.probes, 50u);
        EXPECT_EQ(listener.stream.largest, 172u);
    }
}

TEST(RtpKind, AStreamOfProbesAloneIsUnknown) {
    Listener listener; // as browsers send on the SSRC of retransmissions: the timestamps go with the time
    for (unsigned i = 0; i < 100; i++)
        EXPECT_EQ(listener.hear({.timestamp = i * 1440, .sequence = static_cast<uint16_t>(i), .padding = true}),
                  KUDO_RTP_UNKNOWN);
    EXPECT_EQ(listener.stream.packets, 0u);
    EXPECT_EQ(listener.stream.probes, 100u);
}

TEST(RtpKind, AProbeAfterLossHidesWhetherAPictureEnded) {
    Listener listener; // of each picture of 32 ms the only packet is lost, and a probe follows
    for (unsigned i = 0; i < 100; i++) {
        const uint32_t timestamp = i / 2 * 2880;
        const auto sequence = static_cast<uint16_t>(i / 2 * 3 + i % 2 + 1);
        EXPECT_NE(listener.hear({.timestamp = timestamp, .sequence = sequence, .padding = i % 2 == 0}), KUDO_RTP_AUDIO);
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
        EXPECT_EQ(listener.is_ef(rtp), i >= 4) << i; // the second packet confirms the jump
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

// What may befall a stream from outside.
Listener settled_audio(unsigned count = 40) {
    Listener listener;
    for (unsigned i = 0; i < count; i++)
        listener.hear(audio(i, 960));
    EXPECT_EQ(listener.stream.kind, KUDO_RTP_AUDIO);
    return listener;
}

TEST(RtpAttack, SequenceAndTimestampMayWrapAtOnce) {
    Listener listener;
    Rtp rtp{.timestamp = 0xffffffffu - 5 * 2880, .sequence = 65530};
    for (int i = 0; i < 20; i++, rtp.sequence++, rtp.timestamp += 2880)
        EXPECT_EQ(listener.is_ef(rtp), i >= 3) << i;
    Listener second;
    Rtp picture{.timestamp = 0xffffffffu - 5 * 3000, .sequence = 65530, .payload_type = 96, .marker = true};
    for (int i = 0; i < 20; i++, picture.sequence++, picture.timestamp += 3000)
        EXPECT_FALSE(second.is_ef(picture));
    EXPECT_EQ(second.stream.kind, KUDO_RTP_VIDEO);
}

TEST(RtpAttack, OneForgedPacketFarAwayChangesNothing) {
    Listener listener = settled_audio();
    for (unsigned i = 40; i < 80; i++) {
        Rtp forged = video(i, 3600, 1);
        forged.sequence = static_cast<uint16_t>(audio(i, 960).sequence + 20000 + i * 77);
        EXPECT_FALSE(listener.is_ef(forged));
        EXPECT_TRUE(listener.is_ef(audio(i, 960))) << i;
    }
}

TEST(RtpAttack, ForgedPacketsInSequenceAreNotEfAndAFewDoNotFlipTheStream) {
    Listener listener = settled_audio();
    for (unsigned i = 40; i < 80; i++) {
        Rtp forged = audio(i, 960);
        if (i % 10 == 0) { // before the right one
            forged.timestamp += 12345;
            EXPECT_FALSE(listener.is_ef(forged));
        }
        listener.hear(audio(i, 960));
        EXPECT_EQ(listener.stream.kind, KUDO_RTP_AUDIO) << i;
    }
}

TEST(RtpAttack, AVideoThatTakesOverAnAudiosSsrcIsNeverEf) {
    for (const uint32_t step : {1440u, 2880u, 3000u, 3600u, 6000u, 12000u})
        for (const unsigned parts : {1u, 2u, 5u})
            for (const bool jumps : {false, true}) {
                Listener listener = settled_audio();
                const Rtp last = audio(39, 960);
                unsigned ef = 0;
                for (unsigned i = 0; i < 100; i++) {
                    Rtp picture = video(i, step, parts);
                    picture.sequence = static_cast<uint16_t>(last.sequence + 1 + i + (jumps ? 30000 : 0));
                    ef += listener.is_ef(picture);
                }
                // Without a jump the first packet may be 2.5 to 120 ms after the audio by chance, not here.
                EXPECT_EQ(ef, 0u) << step << " " << parts << " " << jumps;
            }
}

TEST(RtpAttack, OfTwoSendersWithOneSsrcTheVideoIsNotEf) {
    for (const unsigned parts : {1u, 2u, 8u}) {
        Listener listener = settled_audio();
        for (unsigned i = 0; i < 400; i++) {
            listener.hear(audio(40 + i, 960));
            Rtp picture = video(i, 3000, parts);
            picture.sequence = static_cast<uint16_t>(20000 + i);
            EXPECT_FALSE(listener.is_ef(picture)) << parts << " " << i;
        }
    }
    // And where the numbers are near each other, but not in the window of what is reordered.
    Listener listener = settled_audio();
    for (unsigned i = 0; i < 400; i++) {
        listener.hear(audio(40 + i, 960));
        Rtp picture = video(i, 3000, 2);
        picture.sequence = static_cast<uint16_t>(audio(40 + i, 960).sequence - 500);
        EXPECT_FALSE(listener.is_ef(picture)) << i;
    }
}

TEST(RtpAttack, EarlyMediaOfOneSsrcSaysNothingOfTheCallsThatFollows) {
    Listener listener; // ringing, by G.711; then the call itself, by the same SSRC with numbers of its own
    Rtp ringing{.timestamp = 99, .sequence = 5, .payload_type = 0};
    for (int i = 0; i < 30; i++, ringing.sequence++, ringing.timestamp += 160)
        EXPECT_EQ(listener.is_ef(ringing), i >= 3);
    Rtp call{.timestamp = 0x80000000, .sequence = 40000, .payload_type = 111};
    for (int i = 0; i < 30; i++, call.sequence++, call.timestamp += 960)
        EXPECT_EQ(listener.is_ef(call), i >= 4) << i;
}

TEST(RtpAttack, ReorderingCostsNoAudioItsMark) {
    Listener listener = settled_audio();
    std::mt19937 random(11);
    for (unsigned i = 40; i < 1000; i += 8) {
        std::vector<unsigned> order = {i, i + 1, i + 2, i + 3, i + 4, i + 5, i + 6, i + 7};
        std::shuffle(order.begin(), order.end(), random);
        for (const unsigned next : order)
            EXPECT_TRUE(listener.is_ef(audio(next, 960))) << next;
    }
}

} // namespace
} // namespace kudo::test
