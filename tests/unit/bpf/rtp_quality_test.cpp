// SPDX-License-Identifier: MIT
// What is counted of one RTP stream: each test names one behaviour, those at the end what users of other tools reported
// as wrong there. Times are from a whole second on.
#include <gtest/gtest.h>

#include <initializer_list>

#include "agent/datapath/rtp_quality.h"
#include "bpf/rtp_quality.h"

namespace kudo::test {
namespace {

constexpr uint64_t ms = 1'000'000, s = 1000 * ms;

class RtpQualityOf : public testing::Test {
protected:
    // 20 ms of audio by a clock of 48 kHz, whose timestamp says `media`.
    void packet(uint16_t sequence, uint64_t time, uint64_t media, bool padding = false) {
        kudo_rtp_packet packet{};
        packet.ssrc = 7;
        packet.sequence = sequence;
        packet.timestamp = static_cast<uint32_t>(media / ms * 48);
        packet.padding = padding;
        if (quality_.unique == 0)
            kudo_begin_quality(&quality_, &packet, begin_ + time);
        else
            kudo_add_quality(&quality_, &packet, begin_ + time);
        now_ = time;
        next_ = sequence + 1;
        media_ = media + 20 * ms;
    }
    // So many in time, after the last one.
    void talk(int packets) {
        for (int i = 0; i < packets; i++)
            packet(next_, quality_.unique == 0 ? 0 : now_ + 20 * ms, media_);
    }
    [[nodiscard]] RtpQuality read(uint64_t after = 0) const {
        return describe(quality_, {begin_ + now_ + after, std::chrono::system_clock::now()});
    }
    void expect_gaps(std::initializer_list<uint64_t> gaps) const {
        const RtpGaps is = read().gaps;
        EXPECT_EQ(std::vector<uint64_t>(gaps),
                  (std::vector<uint64_t>{is.at_least_60, is.at_least_120, is.at_least_250, is.at_least_1000}));
    }
    kudo_rtp_quality quality_{};
    const uint64_t begin_ = 1000 * s;
    uint64_t now_ = 0, media_ = 0;
    uint16_t next_ = 100;
};

TEST_F(RtpQualityOf, MissingPacketsPendUntilTheyLeaveTheWindow) {
    talk(1);
    next_ += 3;
    talk(1);
    EXPECT_EQ(read().pending, 3u);
    talk(508);
    EXPECT_EQ(read().pending, 3u);
    EXPECT_EQ(read().lost, 0u);
    talk(1);
    EXPECT_EQ(read().pending, 2u);
    EXPECT_EQ(read().lost, 1u);
    talk(2);
    EXPECT_EQ(read().pending, 0u);
    EXPECT_EQ(read().lost, 3u);
    EXPECT_EQ(read().expected(), quality_.expected);
}

TEST_F(RtpQualityOf, AGapAsWideAsTheWindowAndOneThatIsAlmostARestart) {
    for (const int missing : {511, 512, 513, 2999}) {
        talk(600);
        const RtpQuality before = read();
        next_ = static_cast<uint16_t>(next_ + missing);
        talk(1);
        EXPECT_EQ(read().restarts, 0u);
        EXPECT_EQ(read().lost + read().pending, before.lost + before.pending + missing);
        EXPECT_EQ(read().pending, static_cast<uint64_t>(std::min(missing, 511)));
        EXPECT_EQ(read().expected(), quality_.expected);
    }
}

TEST_F(RtpQualityOf, PacketsFromBeforeTheFirstAreReordered) {
    talk(3);
    const uint16_t first = 100;
    packet(first - 3, now_, 0);
    EXPECT_EQ(read().reordered, 1u);
    EXPECT_EQ(read().pending, 2u);
    packet(first - 3, now_, 0);
    EXPECT_EQ(read().duplicate, 1u);
    packet(first - 1, now_, 0);
    EXPECT_EQ(read().pending, 1u);
    EXPECT_EQ(read().expected(), 6u);
}

TEST_F(RtpQualityOf, ADuplicateAfterARestartIsADuplicate) {
    talk(10);
    next_ += 20000;
    const uint16_t restart = next_;
    talk(2);
    EXPECT_EQ(read().restarts, 1u);
    packet(restart, now_, media_);
    packet(restart + 1, now_, media_);
    EXPECT_EQ(read().duplicate, 2u);
    EXPECT_EQ(read().unconfirmed, 0u);
    EXPECT_EQ(read().lost + read().pending, 0u);
}

TEST_F(RtpQualityOf, PausesOfDiscontinuousTransmissionAreNoGaps) {
    talk(200);
    for (int i = 0; i < 20; i++)
        packet(next_, now_ + 400 * ms, media_ + 380 * ms); // comfort noise
    expect_gaps({0, 0, 0, 0});
    packet(next_, now_ + 550 * ms, media_ + 380 * ms); // 150 ms too late
    expect_gaps({1, 1, 0, 0});
}

TEST_F(RtpQualityOf, GapsAreAsLongAsNothingIsHeard) {
    talk(200);
    packet(next_, now_ + 59 * ms, media_);
    expect_gaps({0, 0, 0, 0});
    packet(next_, now_ + 60 * ms, media_);
    expect_gaps({1, 0, 0, 0});
    packet(next_, now_ + 125 * ms, media_);
    expect_gaps({2, 1, 0, 0});
    packet(next_, now_ + 251 * ms, media_);
    expect_gaps({3, 2, 1, 0});
    packet(next_, now_ + 1000 * ms, media_);
    expect_gaps({4, 3, 2, 1});
}

TEST_F(RtpQualityOf, MissingPacketsMakeAGapBeforeTheClockIsKnownToo) {
    talk(3);
    packet(next_ + 6, now_ + 140 * ms, media_ + 120 * ms);
    expect_gaps({1, 1, 0, 0});
    packet(next_ + 1, now_ + 40 * ms, media_ + 20 * ms); // one missing: 40 ms
    expect_gaps({1, 1, 0, 0});
}

TEST_F(RtpQualityOf, FramesOf60MsAreNoGaps) {
    for (int i = 0; i < 200; i++)
        packet(next_, now_ + (i % 2 ? 75 : 45) * ms, media_ + 40 * ms); // 15 ms early and late
    expect_gaps({0, 0, 0, 0});
}

TEST_F(RtpQualityOf, ProbesHideNoGapAndMakeNone) {
    talk(200);
    packet(next_, now_ + 10 * ms, media_ - 20 * ms, true);
    packet(next_ + 3, now_ + 60 * ms, media_ + 60 * ms, true); // three missing before the probe
    packet(next_, now_ + 10 * ms, media_);
    expect_gaps({1, 0, 0, 0});
    EXPECT_EQ(read().pending, 3u);
}

TEST_F(RtpQualityOf, OutagesAreKeptWithTheirRate) {
    talk(101); // 2 s
    packet(next_ + 74, now_ + 1500 * ms, media_ + 1480 * ms);
    talk(100);
    packet(next_ + 9, now_ + 200 * ms, media_ + 180 * ms); // too short
    packet(next_, now_ + 400 * ms, media_ + 380 * ms);     // none missing
    const RtpQuality is = read();
    ASSERT_EQ(is.outages.size(), 1u);
    EXPECT_EQ(is.outages[0].duration.count(), 1500);
    EXPECT_EQ(is.outages[0].missing, 74u);
    EXPECT_EQ(is.outages[0].rate_before, 50u);
    EXPECT_EQ(std::chrono::round<std::chrono::milliseconds>(is.last_packet - is.outages[0].begin).count(),
              static_cast<int64_t>((now_ - 2000 * ms) / ms));
}

TEST_F(RtpQualityOf, OnlyTheLastFourOutagesAreKept) {
    for (int i = 1; i <= 6; i++) {
        talk(10);
        packet(static_cast<uint16_t>(next_ + i), now_ + 300 * ms, media_ + 280 * ms);
    }
    const RtpQuality is = read();
    ASSERT_EQ(is.outages.size(), 4u);
    for (std::size_t i = 0; i < 4; i++)
        EXPECT_EQ(is.outages[i].missing, 3 + i);
}

TEST_F(RtpQualityOf, TheLastMinuteForgetsWhatIsOlder) {
    talk(50);
    next_ += 50;
    talk(1);
    EXPECT_EQ(read().last_minute.lost, 50u);
    talk(59 * 50);
    EXPECT_EQ(read().last_minute.lost, 50u);
    talk(100);
    EXPECT_EQ(read().last_minute.lost, 0u);
    EXPECT_NEAR(static_cast<double>(read().received_last_minute), 3000, 50);
    EXPECT_EQ(read(70 * s).received_last_minute, 0u);
}

TEST_F(RtpQualityOf, FramesAreThoseOfTheLastWholeSecond) {
    for (int frame = 0; frame < 75; frame++)
        for (int part = 0; part < 3; part++)
            packet(next_, static_cast<uint64_t>(frame) * 40 * ms + static_cast<uint64_t>(part) * ms,
                   static_cast<uint64_t>(frame) * 40 * ms);
    EXPECT_EQ(read().frames_per_second, 25u);
    EXPECT_EQ(read(500 * ms).frames_per_second, 25u); // the second that has just ended
    EXPECT_EQ(read(2 * s).frames_per_second, 0u);
}

TEST_F(RtpQualityOf, AnotherClockIsBelievedAfterFiveSeconds) {
    talk(500);
    ASSERT_EQ(read().clock_rate, 48000u);
    // From here on another payload by a clock of 8 kHz.
    uint32_t timestamp = static_cast<uint32_t>(media_ / ms * 48);
    for (int i = 0; i < 4000; i++) {
        kudo_rtp_packet packet{};
        packet.sequence = next_++;
        packet.timestamp = timestamp += 160;
        kudo_add_quality(&quality_, &packet, begin_ + (now_ += 20 * ms));
    }
    EXPECT_EQ(read().clock_rate, 8000u);
    EXPECT_LT(*read().jitter_ms, 0.1);
}

// Reported of other tools.

TEST_F(RtpQualityOf, NothingResetsTheLossOfAStream) { // rtpengine 2114: RTCP did
    talk(20);
    next_ += 10;
    talk(600);
    EXPECT_EQ(read().lost, 10u);
    next_ += 20000; // the sender begins again
    talk(600);
    EXPECT_EQ(read().lost, 10u);
    EXPECT_EQ(read().restarts, 1u);
    packet(next_ - 700, now_, media_); // late
    EXPECT_EQ(read().lost, 10u);
}

TEST_F(RtpQualityOf, EarlyMediaIsNoLoss) { // homer 268
    talk(30);                              // of an announcement
    next_ += 12345;
    talk(100);
    EXPECT_EQ(read().lost + read().pending, 0u);
    EXPECT_EQ(read().restarts, 1u);
    EXPECT_EQ(read().unique, 130u);
}

TEST_F(RtpQualityOf, JitterIsInMillisecondsWhateverTheClock) { // homer 516
    talk(100);
    for (int i = 0; i < 400; i++)
        packet(next_, now_ + (i % 2 ? 30 : 10) * ms, media_);
    ASSERT_TRUE(read().jitter_ms.has_value());
    EXPECT_NEAR(*read().jitter_ms, 10, 0.1);
}

TEST_F(RtpQualityOf, InjectedMediaOfAnotherTimeIsNoJitter) { // homer 430
    talk(200);
    const double before = *read().jitter_ms;
    for (int i = 0; i < 3; i++) // the timestamps of another source, in the same sequence
        packet(next_, now_ + 20 * ms, media_ + 3600 * s);
    talk(1);
    EXPECT_LT(*read().jitter_ms, before + 0.1);
    next_ += 20000; // and in one of its own
    packet(next_, now_ + 20 * ms, 77 * s);
    talk(20);
    EXPECT_LT(*read().jitter_ms, before + 0.1);
}

} // namespace
} // namespace kudo::test
