// SPDX-License-Identifier: MIT
// What is counted of RTP streams, against sets and sums of the same packets (tests/support/rtp_oracle.h).
// Invariant: every count is equal, whatever befalls the stream; only jitter is of a clock whose rate was found out.
#include <gtest/gtest.h>

#include "agent/datapath/rtp_quality.h"
#include "tests/support/rtp_feed.h"

namespace kudo::test {
namespace {

constexpr uint64_t second_of_time = 1'000'000'000, begin_of_time = 5000 * second_of_time + 123'456'789;

RtpQuality described(const kudo_rtp_quality& quality, uint64_t after = 0) {
    return describe(quality, {quality.arrival + after, std::chrono::system_clock::now()});
}

TEST(RtpOracle, EveryCountOfAThousandStreamsIsTheOracles) {
    std::mt19937_64 random(20260815);
    uint64_t restarts = 0, lost = 0, late = 0, reordered = 0, wrapped = 0;
    for (uint64_t seed = 0; seed < 1000; seed++) {
        const RtpTroubles troubles = random_troubles(random);
        const auto packets = make_rtp(troubles, seed, begin_of_time);
        if (packets.empty()) continue;
        const RtpTruth truth = truth_of(packets, troubles.clock);
        const auto raw = quality_of(packets);
        const RtpQuality is = described(*raw);
        SCOPED_TRACE(testing::Message() << "seed " << seed);
        ASSERT_EQ(counts_of(is), counts_of(truth));
        ASSERT_EQ(is.expected(), raw->expected);
        ASSERT_EQ(is.unique + is.duplicate + is.late + is.unconfirmed, packets.size());
        restarts += is.restarts, lost += is.lost, late += is.late, reordered += is.reordered;
        wrapped += troubles.wraps;
    }
    // The streams had what they are to have.
    EXPECT_GT(restarts, 100u);
    EXPECT_GT(lost, 10'000u);
    EXPECT_GT(late, 100u);
    EXPECT_GT(reordered, 10'000u);
    EXPECT_GT(wrapped, 100u);
}

TEST(RtpOracle, SecondsAndWorstWindowsAreTheOraclesWhereNothingIsReordered) {
    std::mt19937_64 random(7);
    uint64_t with_loss = 0;
    for (uint64_t seed = 0; seed < 300; seed++) {
        RtpTroubles troubles = random_troubles(random);
        troubles.reorder = troubles.late = troubles.duplicate = troubles.jitter_ms = 0;
        troubles.restarts = troubles.early = troubles.foreign = 0;
        const auto packets = make_rtp(troubles, seed, begin_of_time);
        if (packets.empty()) continue;
        const RtpTruth truth = truth_of(packets, troubles.clock);
        const RtpQuality is = described(*quality_of(packets), second_of_time);
        SCOPED_TRACE(testing::Message() << "seed " << seed);
        const auto slice = worst_window(truth.slices, 1);
        ASSERT_EQ(is.worst_200ms.lost, slice.missing);
        ASSERT_EQ(is.worst_200ms.expected, slice.missing == 0 ? 0 : slice.received + slice.missing);
        with_loss += slice.missing != 0;
        const uint64_t last = truth.seconds.rbegin()->first;
        if (last - truth.seconds.begin()->first >= 14) {
            const auto window = worst_window(truth.seconds, 15);
            ASSERT_EQ(is.worst_15s.lost, window.missing);
            ASSERT_EQ(is.worst_15s.expected, window.missing == 0 ? 0 : window.received + window.missing);
        }
        for (std::size_t i = 0; i < is.seconds.size(); i++) {
            const uint64_t number = last + 1 - is.seconds.size() + i;
            const auto found = truth.seconds.find(number);
            const RtpTruth::Span span = found == truth.seconds.end() ? RtpTruth::Span{} : found->second;
            ASSERT_EQ(is.seconds[i].received, span.received);
            ASSERT_EQ(is.seconds[i].missing, span.missing);
            const auto frames = truth.frames.find(number);
            ASSERT_EQ(is.seconds[i].frames, frames == truth.frames.end() ? 0 : frames->second);
        }
    }
    EXPECT_GT(with_loss, 100u);
}

TEST(RtpOracle, SecondsAddUpToWhatIsMissingThoughPacketsComeLate) {
    RtpTroubles troubles;
    troubles.packets = 2500;
    troubles.drop = 0.02;
    troubles.reorder = 0.2;
    const auto packets = make_rtp(troubles, 3, begin_of_time);
    const RtpQuality is = described(*quality_of(packets));
    uint64_t received = 0, missing = 0;
    for (const RtpSecond& one : is.seconds)
        received += one.received, missing += one.missing;
    ASSERT_LE(is.seconds.size(), 52u);
    EXPECT_GT(is.reordered, 300u);
    EXPECT_EQ(received, is.unique);
    EXPECT_EQ(missing, is.lost + is.pending);
}

class RtpClocks : public testing::TestWithParam<uint32_t> {};

TEST_P(RtpClocks, AreFoundOutAndTheJitterIsRfc3550s) {
    for (const double delay : {0.0, 2.0, 10.0, 25.0}) {
        RtpTroubles troubles;
        troubles.packets = 1500;
        troubles.clock = GetParam();
        troubles.video = GetParam() == 90000;
        troubles.jitter_ms = delay;
        troubles.drop = 0.01;
        for (uint64_t seed = 0; seed < 20; seed++) {
            const auto packets = make_rtp(troubles, seed, begin_of_time);
            const RtpQuality is = described(*quality_of(packets));
            ASSERT_EQ(is.clock_rate, GetParam());
            ASSERT_TRUE(is.jitter_ms.has_value());
            ASSERT_NEAR(*is.jitter_ms, truth_of(packets, GetParam()).jitter_ms, 1) << delay << " ms, seed " << seed;
        }
    }
}
INSTANTIATE_TEST_SUITE_P(Known, RtpClocks, testing::Values(8000, 16000, 48000, 90000));

TEST(RtpClock, ThatIsNoneOfTheUsualIsUnknown) {
    for (const uint32_t clock : {11025u, 32000u, 44100u, 24000u}) {
        RtpTroubles troubles;
        troubles.clock = clock;
        const RtpQuality is = described(*quality_of(make_rtp(troubles, clock, begin_of_time)));
        EXPECT_FALSE(is.clock_rate.has_value()) << clock;
        EXPECT_FALSE(is.jitter_ms.has_value());
    }
}

} // namespace
} // namespace kudo::test
