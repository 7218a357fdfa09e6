// SPDX-License-Identifier: MIT
// Loss, round trips and rate over time, from readings of the counters and from streams.
// Invariant: what was not counted is nothing, and no zero.
#include "agent/diagnosis/timeline.h"

#include <utility>
#include <vector>

#include <gtest/gtest.h>

namespace kudo {
namespace {

using namespace std::chrono_literals;

const auto noon = std::chrono::sys_days{std::chrono::year{2022} / 3 / 1} + 12h;

Timeline timeline_of(std::vector<CounterReading> readings) {
    TimelineOfReadings timeline;
    for (CounterReading& reading : readings)
        timeline.add(std::move(reading));
    return timeline.timeline();
}

TEST(Timeline, IsTheGrowthBetweenReadings) {
    const CounterReading first{noon, {{"service/media/1", {100, 10'000, 50, 5'000}}, {"totals", {9, 9, 9, 9}}}};
    const CounterReading second{noon + 10s,
                                {{"service/media/1", {200, 30'000, 50, 5'000}},
                                 {"service/opentok/3", {10, 1'000, 0, 0}},
                                 {"stream/17/a/1/0", {90, 10}},
                                 {"stream/17/a/2/1", {5, 5}},
                                 {"rtt/17/a", {4, 80'000}},
                                 {"rtt/17/b", {1, 120'000}}}};
    const Timeline timeline = timeline_of({first, second});
    ASSERT_EQ(timeline.size(), 1U);
    EXPECT_EQ(timeline[0].begin, noon);
    EXPECT_EQ(timeline[0].duration, 10s);
    EXPECT_DOUBLE_EQ(timeline[0].bits_in.value(), 8 * 21'000 / 10.0);
    EXPECT_DOUBLE_EQ(timeline[0].bits_out.value(), 0);
    EXPECT_DOUBLE_EQ(timeline[0].packets_in.value(), 11);
    EXPECT_EQ(timeline[0].received, 90U) << "outgoing streams are not lost here";
    EXPECT_DOUBLE_EQ(timeline[0].loss().value(), 0.1);
    EXPECT_DOUBLE_EQ(timeline[0].rtt_ms.value(), 40);
}

TEST(Timeline, HasNothingWhereNothingWasCounted) {
    const Series same{
        {"service/media/1", {100, 10'000, 50, 5'000}}, {"stream/17/a/1/0", {90, 10}}, {"rtt/17/a", {4, 80}}};
    const Timeline timeline = timeline_of({{noon, same}, {noon + 1s, same}, {noon + 1s, same}});
    ASSERT_EQ(timeline.size(), 1U) << "no time has passed before the last";
    EXPECT_EQ(timeline[0].bits_in, 0.0);
    EXPECT_FALSE(timeline[0].loss());
    EXPECT_FALSE(timeline[0].rtt_ms);
    EXPECT_FALSE(timeline_of({{noon, {}}, {noon + 1s, {}}})[0].bits_in);
}

TEST(Timeline, TakesACounterThatWentDownAsBegunAgain) {
    const Timeline timeline = timeline_of(
        {{noon, {{"service/media/1", {100, 10'000, 0, 0}}}}, {noon + 1s, {{"service/media/1", {3, 300, 0, 0}}}}});
    EXPECT_DOUBLE_EQ(timeline.at(0).packets_in.value(), 3);
}

TEST(Timeline, AddsTheSecondsOfIncomingStreams) {
    Diagnosis diagnosis;
    diagnosis.statistics.flows.resize(1);
    for (int i = 0; i < 3; ++i) {
        RtpStream stream;
        stream.direction = i == 2 ? KUDO_EGRESS : KUDO_INGRESS;
        stream.quality.emplace();
        stream.quality->seconds = {{noon + 300ms, 50, 5, 0, 0}, {noon + 1300ms, 50, 0, 0, 0}};
        diagnosis.statistics.flows[0].streams.push_back(stream);
    }
    const Timeline timeline = timeline_of_streams(diagnosis);
    ASSERT_EQ(timeline.size(), 2U);
    EXPECT_EQ(timeline[0].begin, noon);
    EXPECT_EQ(timeline[0].received, 100U);
    EXPECT_EQ(timeline[0].missing, 10U);
    EXPECT_EQ(timeline[1].missing, 0U);
    EXPECT_FALSE(timeline[0].rtt_ms);
}

TEST(Timeline, SeriesKeepRoundTrips) {
    Diagnosis diagnosis;
    diagnosis.statistics.flows.resize(1);
    diagnosis.statistics.flows[0].probe.emplace();
    diagnosis.statistics.flows[0].probe->rtt = {.count = 3, .total = 45.5};
    const Series series = series_of(diagnosis);
    const auto found = series.lower_bound("rtt/");
    ASSERT_NE(found, series.end());
    EXPECT_EQ(found->second, (std::vector<uint64_t>{3, 45'500}));
}

} // namespace
} // namespace kudo
