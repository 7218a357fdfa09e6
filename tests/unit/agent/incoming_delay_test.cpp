// SPDX-License-Identifier: MIT
// A stream of audio of 20 ms a packet at 48 kHz, and round trips beside it.
#include <gtest/gtest.h>

#include "agent/linerate/incoming_delay.h"

namespace kudo {
namespace {

using namespace std::chrono_literals;
using Time = IncomingDelay::Time;

constexpr uint32_t opus = 1'024'000'000'000 / 48'000; // its scale: 1/1024 ns a tick

class Incoming : public ::testing::Test {
protected:
    // A packet every 20 ms and a round trip every 40 ms; `way_in` and `way_out` beyond the least.
    void run(Time span, Time way_in, Time way_out, uint32_t scale = opus) {
        for (const Time end = now_ + span; now_ < end; now_ += 20ms) {
            timestamp_ += 960;
            known_ = delay_.media(now_, now_ + sender_late_ + way_in, timestamp_, scale);
            if (now_ / 20ms % 2 == 0) delay_.round_trip(now_, 30ms + way_in + way_out);
        }
    }
    [[nodiscard]] double extra_ms() const {
        const auto extra = delay_.extra(now_);
        return extra ? std::chrono::duration<double, std::milli>(*extra).count() : -1;
    }
    IncomingDelay delay_;
    Time now_ = 1h;
    Time sender_late_{};
    uint32_t timestamp_ = 0xffffff00; // it wraps at once
    bool known_ = false;
};

TEST_F(Incoming, NothingIsKnownWithoutBoth) {
    EXPECT_FALSE(delay_.way(now_));
    EXPECT_FALSE(delay_.media(now_, now_, 0, opus));
    EXPECT_TRUE(delay_.media(now_, now_ + 20ms, 960, opus));
    EXPECT_FALSE(delay_.way(now_));
    delay_.round_trip(now_, 30ms);
    EXPECT_TRUE(delay_.way(now_));
    EXPECT_FALSE(delay_.way(now_ + 1s));
}

TEST_F(Incoming, TheWayInIsWhatBothHave) {
    run(2s, 0ms, 0ms);
    EXPECT_NEAR(extra_ms(), 0, 0.1);
    run(200ms, 25ms, 0ms);
    EXPECT_NEAR(extra_ms(), 25, 0.2);
    run(200ms, 0ms, 25ms); // only the requests wait
    EXPECT_NEAR(extra_ms(), 0, 0.2);
    sender_late_ = 25ms; // only the stream: the sender's own line
    run(200ms, 0ms, 0ms);
    EXPECT_NEAR(extra_ms(), 0, 0.2);
    EXPECT_EQ(delay_.least_round_trip(), 30ms);
}

TEST_F(Incoming, AClockThatIsNotKnownIsGuessedInTwoSeconds) {
    run(1900ms, 0ms, 0ms, 0);
    EXPECT_FALSE(known_);
    run(400ms, 0ms, 0ms, 0);
    EXPECT_TRUE(known_);
    run(200ms, 40ms, 0ms, 0);
    EXPECT_NEAR(extra_ms(), 40, 1);
}

TEST_F(Incoming, APauseOrAnotherClockIsNoDelay) {
    run(2s, 0ms, 0ms);
    timestamp_ += 5'000'000;
    run(200ms, 0ms, 0ms);
    EXPECT_NEAR(extra_ms(), 0, 0.1);
    now_ += 10s; // silence, of which the timestamps know nothing
    run(200ms, 0ms, 0ms);
    EXPECT_NEAR(extra_ms(), 0, 0.1);
}

TEST_F(Incoming, AShortPauseIsToldFromAQueueByTheRoundTrips) {
    for (const Time pause : {150ms, 900ms}) {
        run(2s, 0ms, 0ms);
        now_ += pause;
        run(200ms, 0ms, 0ms);
        EXPECT_NEAR(extra_ms(), 0, 0.1);
        run(200ms, 0ms, 25ms); // only the requests wait
        EXPECT_NEAR(extra_ms(), 0, 0.2);
        run(60ms, 300ms, 0ms); // a queue that has filled between two packets
        EXPECT_NEAR(extra_ms(), 300, 0.2);
        run(200ms, 300ms, 0ms);
        EXPECT_NEAR(extra_ms(), 300, 0.2);
    }
}

TEST_F(Incoming, AnotherStreamGoesOnFromWhereTheOneBeforeWas) {
    run(2s, 0ms, 0ms);
    delay_.forget_stream();
    timestamp_ = 7;
    run(200ms, 0ms, 0ms);
    EXPECT_NEAR(extra_ms(), 0, 0.1);
    run(200ms, 30ms, 0ms);
    EXPECT_NEAR(extra_ms(), 30, 0.2);
}

TEST_F(Incoming, ClocksThatPartAreNoQueue) {
    for (int second = 0; second < 120; second++) {
        run(1s, 0ms, 0ms);
        sender_late_ += 100us; // 0.1 ms a second
    }
    EXPECT_LT(extra_ms(), 4);
}

} // namespace
} // namespace kudo
