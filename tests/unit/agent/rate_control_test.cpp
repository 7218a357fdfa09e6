// SPDX-License-Identifier: MIT
// A rate that follows a line, on simulated lines with a deep FIFO.
// Invariant: no clock, no kernel; what is random comes from a fixed seed.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <deque>
#include <functional>
#include <random>
#include <vector>

#include "agent/linerate/rate_control.h"
#include "agent/queues/tree.h"

namespace kudo {
namespace {

using namespace std::chrono_literals;
using Time = RateControl::Time;

constexpr double mbit = 1e6;

// A host behind a shaper, a line with one FIFO, and a server that answers requests.
struct Line {
    std::function<double(Time)> rate = [](Time) { return 20 * mbit; }; // bit/s
    Time round_trip = 20ms;
    double room = 10 * mbit; // bits of the FIFO
    std::function<Time(std::mt19937&)> jitter = [](std::mt19937&) { return Time{}; };
    std::function<bool(Time)> answers = [](Time) { return true; };
    double lost = 0;                                                     // share of requests
    std::function<double(Time)> wish = [](Time) { return 1000 * mbit; }; // what the host would send, bit/s
    std::function<double(Time)> others = [](Time) { return 0.0; };       // what other hosts send through the FIFO
    double most_of_rate = 1;                                             // what the host can send of the shaper's rate
};

struct Moment {
    Time at{};
    double rate = 0, carried = 0; // bit/s
    Time delay{};                 // in the FIFO
};

struct Course {
    std::vector<Moment> moments; // a millisecond each
    [[nodiscard]] double share(Time from, Time to, double line) const {
        double sum = 0;
        int count = 0;
        for (const Moment& moment : moments)
            if (moment.at >= from && moment.at < to) sum += moment.carried, count++;
        return sum / count / line;
    }
    [[nodiscard]] double delay_p99(Time from, Time to) const { // ms
        std::vector<double> delays;
        for (const Moment& moment : moments)
            if (moment.at >= from && moment.at < to)
                delays.push_back(std::chrono::duration<double, std::milli>(moment.delay).count());
        std::ranges::sort(delays);
        return delays.at(delays.size() * 99 / 100);
    }
    [[nodiscard]] double rate_at(Time at) const {
        return std::ranges::find_if(moments, [at](const Moment& moment) { return moment.at >= at; })->rate;
    }
    [[nodiscard]] double least_rate(Time from, Time to) const {
        double least = 1e18;
        for (const Moment& moment : moments)
            if (moment.at >= from && moment.at < to) least = std::min(least, moment.rate);
        return least;
    }
};

Course drive(RateControl& control, const Line& line, Time until, Time begin = 0s) {
    struct Flying {
        uint32_t number = 0;
        Time sent_at{};
        double behind = 0; // bits that leave the FIFO before it
    };
    Course result;
    std::mt19937 random(7);
    std::uniform_real_distribution<double> part(0, 1);
    std::deque<Flying> flying;
    struct Coming {
        uint32_t number = 0;
        Time due{}, rtt{};
    };
    std::vector<Coming> coming;
    double queue = 0, entered = 0, left = 0, sent = 0;
    uint64_t rate = control.decide(begin);
    uint32_t number = 0;
    for (Time now = begin; now < begin + until; now += 1ms) {
        const double wish = line.wish(now) / 1000,
                     offered = std::min(wish, line.most_of_rate * static_cast<double>(rate) / 1000);
        const double others = line.others(now) / 1000;
        sent += offered;
        const double in = std::min(offered + others, line.room - queue);
        queue += in;
        entered += in;
        const double out = std::min(queue, line.rate(now) / 1000);
        queue -= out;
        left += out;
        while (!flying.empty() && flying.front().behind <= left) {
            const Time rtt = now - flying.front().sent_at + line.round_trip + line.jitter(random);
            if (line.answers(now) && part(random) >= line.lost)
                coming.push_back({flying.front().number, flying.front().sent_at + rtt, rtt});
            flying.pop_front();
        }
        if (now % 25ms == 0ms) {
            for (const Coming& each : coming)
                if (each.due <= now) control.response(each.number, each.rtt);
            std::erase_if(coming, [now](const Coming& each) { return each.due <= now; });
            control.sent(now, static_cast<uint64_t>(sent / 8),
                         wish > line.most_of_rate * static_cast<double>(rate) / 1000);
            if (now % 50ms == 0ms) {
                control.request(now, ++number);
                // A full FIFO takes of every sender the same share.
                if (part(random) <= in / std::max(offered + others, 1.0)) flying.push_back({number, now, entered});
            }
            rate = control.decide(now);
        }
        result.moments.push_back(
            {now, static_cast<double>(rate), out * 1000, Time(static_cast<int64_t>(queue / line.rate(now) * 1e9))});
    }
    return result;
}

double steps(Time now) {
    return now < 15s ? 20 * mbit : now < 30s ? 5 * mbit : 20 * mbit;
}

TEST(RateControl, FollowsALineThatStepsDownAndUp) {
    RateControl control({.min = 1'000'000, .max = 50'000'000}, 50'000'000);
    const Course all = drive(control, {.rate = steps}, 45s);
    for (const auto& [from, to, line] : {std::tuple(2s, 15s, 20 * mbit), {17s, 30s, 5 * mbit}, {32s, 45s, 20 * mbit}}) {
        EXPECT_LE(all.delay_p99(from, to), 25) << from.count();
        EXPECT_GE(all.share(from, to, line), 0.9) << from.count();
    }
}

// Seconds of its queue, more than a request may go unanswered.
TEST(RateControl, FollowsALineThatBecomesVerySlow) {
    RateControl control({.min = 500'000, .max = 50'000'000}, 50'000'000);
    const auto line = [](Time now) { return now < 10s ? 20 * mbit : 1 * mbit; };
    const Course all = drive(control, {.rate = line}, 70s);
    EXPECT_LE(all.delay_p99(20s, 70s), 60);
    EXPECT_LE(all.rate_at(69s), 1.5e6);
    EXPECT_GE(all.share(20s, 70s, 1 * mbit), 0.85);
}

// Of the rate the host sends no more than nine tenths, as video in htb.
TEST(RateControl, GrowsAgainAlsoWhereNotAllOfTheRateCanBeSent) {
    RateControl control({.min = 1'000'000, .max = 50'000'000}, 50'000'000);
    Line line{.rate = [](Time now) { return now > 10s && now < 20s ? 2 * mbit : 20 * mbit; }, .most_of_rate = 0.9};
    line.wish = [](Time) { return 6 * mbit; };
    const Course all = drive(control, line, 60s);
    EXPECT_LE(all.delay_p99(14s, 20s), 60);
    EXPECT_GE(all.share(40s, 60s, 6 * mbit), 0.95);
}

TEST(RateControl, FollowsALineOfEveryRate) {
    for (const double line : {0.5, 1.5, 4.0, 30.0, 200.0, 900.0}) {
        const auto most = static_cast<uint64_t>(line * 4 * mbit);
        RateControl control({.min = most / 20, .max = most}, most);
        const Course all = drive(control, {.rate = [line](Time) { return line * mbit; }, .room = line * mbit / 2}, 20s);
        EXPECT_LE(all.delay_p99(5s, 20s), 30 + 4 * 12.1 / line) << line;
        EXPECT_GE(all.share(5s, 20s, line * mbit), 0.85) << line;
    }
}

TEST(RateControl, StaysWithinItsBounds) {
    RateControl control({.min = 8'000'000, .max = 12'000'000}, 50'000'000);
    const Course all = drive(control, {.rate = steps}, 45s);
    for (const Moment& moment : all.moments) {
        EXPECT_GE(moment.rate, 8e6);
        EXPECT_LE(moment.rate, 12e6);
    }
}

// What is sent at the upper bound tells nothing of a line that carries hardly less.
TEST(RateControl, ALineJustBelowTheUpperBoundIsNotPushed) {
    for (const double line : {49.0, 49.5, 49.9}) {
        RateControl control({.min = 1'000'000, .max = 50'000'000}, 50'000'000);
        const Course all = drive(control, {.rate = [line](Time) { return line * mbit; }}, 40s);
        EXPECT_LE(all.delay_p99(10s, 40s), 8) << line;
        EXPECT_GE(all.least_rate(10s, 40s), 45e6) << line;
    }
}

// As on Wi-Fi.
TEST(RateControl, JitterOf10MsIsNoQueue) {
    RateControl control({.min = 1'000'000, .max = 50'000'000}, 50'000'000);
    const Line line{
        .rate = [](Time) { return 20 * mbit; },
        .jitter =
            [](std::mt19937& random) { return Time(std::uniform_int_distribution<int64_t>(0, 10'000'000)(random)); }};
    const Course all = drive(control, line, 30s);
    EXPECT_GE(all.share(3s, 30s, 20 * mbit), 0.85);
    EXPECT_GE(all.least_rate(3s, 30s), 6e6);
    EXPECT_LE(all.delay_p99(3s, 30s), 60);
}

TEST(RateControl, LossOfTwoInAHundredIsNoQueue) {
    RateControl control({.min = 1'000'000, .max = 50'000'000}, 50'000'000);
    const Course all = drive(control, {.rate = [](Time) { return 20 * mbit; }, .lost = 0.02}, 30s);
    EXPECT_GE(all.share(3s, 30s, 20 * mbit), 0.88);
    EXPECT_LE(all.delay_p99(3s, 30s), 30);
}

TEST(RateControl, ALongerWayIsNoQueue) {
    RateControl control({.min = 1'000'000, .max = 50'000'000}, 50'000'000);
    Line line;
    drive(control, line, 10s);
    line.round_trip = 80ms; // another cell
    const Course all = drive(control, line, 20s, 10s);
    EXPECT_GE(all.share(13s, 30s, 20 * mbit), 0.85);
    EXPECT_LE(all.delay_p99(13s, 30s), 40);
}

TEST(RateControl, WithoutResponsesItHolds) {
    RateControl control({.min = 1'000'000, .max = 50'000'000}, 30'000'000);
    const Course all = drive(control, {.answers = [](Time) { return false; }}, 10s);
    EXPECT_EQ(all.least_rate(0s, 10s), 30e6);
}

TEST(RateControl, AServerThatFallsSilentEndsInTheRateOfBefore) {
    RateControl control({.min = 1'000'000, .max = 50'000'000}, 50'000'000);
    const Course all = drive(control, {.answers = [](Time now) { return now < 10s; }}, 20s);
    EXPECT_TRUE(control.is_silent());
    EXPECT_NEAR(all.rate_at(19s), 20e6, 2e6);
}

TEST(RateControl, FollowsAgainAfterAnOutage) {
    RateControl control({.min = 1'000'000, .max = 50'000'000}, 50'000'000);
    const Course all =
        drive(control, {.rate = [](Time now) { return now > 10s && now < 12s ? 1000.0 : 20 * mbit; }}, 25s);
    EXPECT_GE(all.share(15s, 25s, 20 * mbit), 0.85);
    EXPECT_LE(all.delay_p99(15s, 25s), 30);
}

// Whose queue it is cannot be seen while it lasts.
TEST(RateControl, AfterAnotherHostHasFilledTheLineAllOfItIsUsed) {
    RateControl control({.min = 500'000, .max = 50'000'000}, 50'000'000);
    const Line line{.others = [](Time now) { return now > 5s && now < 15s ? 30 * mbit : 0; }};
    const Course all = drive(control, line, 30s);
    EXPECT_GE(all.share(22s, 30s, 20 * mbit), 0.85);
    EXPECT_LE(all.delay_p99(22s, 30s), 80);
}

// Begun while the line was full: the shortest round trip that was seen has a queue in it.
TEST(RateControl, ALineThatIsFullFromTheBeginningIsFoundOut) {
    RateControl control({.min = 1'000'000, .max = 50'000'000}, 50'000'000);
    const Line full{.rate = [](Time) { return 20 * mbit; },
                    .others = [](Time now) { return now < 500ms ? 60 * mbit : 0; }};
    const Course all = drive(control, full, 15s);
    EXPECT_LE(all.delay_p99(6s, 15s), 30);
    EXPECT_GE(all.share(6s, 15s, 20 * mbit), 0.85);
}

TEST(RateControl, AQueueOfLittleTrafficChangesNothing) {
    RateControl control({.min = 1'000'000, .max = 50'000'000}, 50'000'000);
    const Line line{.rate = [](Time) { return 20 * mbit; },
                    .wish = [](Time) { return 0.2 * mbit; },
                    .others = [](Time now) { return now > 5s ? 30 * mbit : 0; }};
    const Course all = drive(control, line, 20s);
    EXPECT_EQ(all.least_rate(0s, 20s), 50e6);
}

// Senders beyond a line that ends here in a shaper: each fills its window, which grows until something is lost.
struct IncomingLine {
    std::function<double(Time)> rate = [](Time) { return 20 * mbit; }; // bit/s
    Time round_trip = 20ms;                                            // of the senders
    double room = 10 * mbit;                                           // bits of the line's FIFO
    std::function<double(Time)> most = [](Time) { return 1e12; };      // bit/s that all senders have
    std::function<Time(std::mt19937&)> jitter = [](std::mt19937&) { return Time{}; };
    std::function<bool(Time)> arrives = [](Time) { return true; }; // the audio by which delays are known
};

Course drive_incoming(RateControl& control, const IncomingLine& line, Time until) {
    Course result;
    std::mt19937 random(11);
    const auto trip = static_cast<std::size_t>(std::max<Time>(line.round_trip, 1ms) / 1ms);
    std::deque<double> under_way(trip, 0.0); // bits that the senders will send, by the millisecond
    double window = 0.2 * mbit, in_flight = 0, queue = 0, shaper = 0, arrived = 0;
    Time no_cut_before{};
    uint64_t rate = control.decide(0ns);
    for (Time now{}; now < until; now += 1ms) {
        const double sent = std::clamp(window - in_flight, 0.0, line.most(now) / 1000);
        in_flight += sent;
        under_way.push_back(sent);
        double in = under_way.front();
        under_way.pop_front();
        bool lost = false;
        const auto drop = [&](double& offered, double room) {
            if (offered <= room) return;
            in_flight -= offered - room;
            offered = room;
            lost = true;
        };
        drop(in, line.room - queue);
        queue += in;
        const double out = std::min(queue, line.rate(now) / 1000);
        queue -= out;
        arrived += out;
        double into_shaper = out;
        const double room = static_cast<double>(control.room_for()) * followed_bulk_room / 1000;
        drop(into_shaper, std::max(0.0, room - shaper));
        shaper += into_shaper;
        const double passed = std::min(shaper, static_cast<double>(rate) / 1000);
        shaper -= passed;
        in_flight -= passed;
        window += 8 * 12'000.0 * passed / window; // a packet each round trip for each of eight flows
        if (lost && now >= no_cut_before) {
            window *= 0.7;
            no_cut_before = now + line.round_trip + 20ms;
        }
        if (now % 25ms == 0ms) {
            const Time delay = Time(static_cast<int64_t>(queue / line.rate(now) * 1e9)) + line.jitter(random);
            control.sent(now, static_cast<uint64_t>(arrived / 8), shaper > 12'000);
            if (line.arrives(now)) control.arrival(now, delay, line.round_trip * 3 / 2);
            rate = control.decide(now);
        }
        result.moments.push_back(
            {now, static_cast<double>(rate), passed * 1000, Time(static_cast<int64_t>(queue / line.rate(now) * 1e9))});
    }
    return result;
}

TEST(RateControl, FollowsAnIncomingLineThatStepsDownAndUp) {
    for (const Time round_trip : {1ms, 20ms, 80ms}) {
        RateControl control({.min = 1'000'000, .max = 50'000'000}, 50'000'000, RateControl::Way::In);
        const Course all = drive_incoming(control, {.rate = steps, .round_trip = round_trip}, 45s);
        for (const auto& [from, to, line] :
             {std::tuple(3s, 15s, 20 * mbit), {18s, 30s, 5 * mbit}, {33s, 45s, 20 * mbit}}) {
            EXPECT_LE(all.delay_p99(from, to), 60) << from.count() << " s, " << round_trip.count();
            EXPECT_GE(all.share(from, to, line), 0.8) << from.count() << " s, " << round_trip.count();
        }
        EXPECT_NEAR(static_cast<double>(control.room_for()), 20 * mbit, 2 * mbit) << round_trip.count();
    }
}

// A moment of jitter, and the line is as fast as before.
TEST(RateControl, TheUpperBoundIsReachedAgainWhereTheLineIsFaster) {
    RateControl control({.min = 1'000'000, .max = 50'000'000}, 50'000'000, RateControl::Way::In);
    const Course all = drive_incoming(
        control, {.rate = [](Time now) { return now > 5s && now < 5050ms ? 1 * mbit : 100 * mbit; }, .room = 40 * mbit},
        30s);
    EXPECT_LT(all.least_rate(5s, 7s), 47e6) << "there was something to recover from";
    EXPECT_EQ(all.least_rate(20s, 30s), 50e6);
}

// Muted in the middle of a download that fills the line, also while its queue is being drained.
TEST(RateControl, WithoutArrivalsTheIncomingRateIsThatOfTheLine) {
    for (Time end = 13s; end < 20s; end += 50ms) {
        RateControl control({.min = 1'000'000, .max = 50'000'000}, 50'000'000, RateControl::Way::In);
        const Course all =
            drive_incoming(control, {.rate = steps, .arrives = [end](Time now) { return now < end; }}, 26s);
        EXPECT_TRUE(control.is_silent()) << end.count();
        // At the step itself the line is not known yet.
        EXPECT_GE(all.rate_at(25s), end <= 15s ? 17e6 : 4.25e6) << end.count();
        EXPECT_LE(all.rate_at(25s), end < 16s ? 20e6 : 5.2e6) << end.count();
        EXPECT_EQ(all.rate_at(end + 4s), all.rate_at(25s)) << end.count();
    }
}

TEST(RateControl, ARateThatIsBeingTriedIsNotLeftBehindByBulkThatEnds) {
    for (Time end = 10s; end < 12s; end += 50ms) {
        RateControl control({.min = 1'000'000, .max = 50'000'000}, 50'000'000);
        Line line{.rate = [](Time now) { return now < 9s ? 8 * mbit : 20 * mbit; }};
        line.wish = [end](Time now) { return now < end ? 1000 * mbit : 0.1 * mbit; };
        const Course all = drive(control, line, 16s);
        EXPECT_LE(all.rate_at(15s), 22e6) << end.count(); // 26e6 was tried
        EXPECT_GE(all.rate_at(15s), 7e6) << end.count();
    }
}

TEST(RateControl, WhatWasForAMomentIsNotLeftBehind) {
    RateControl control({.min = 1'000'000, .max = 50'000'000}, 50'000'000);
    drive(control, {.rate = [](Time now) { return now > 10s ? 1000.0 : 20 * mbit; }}, 12s); // an outage
    EXPECT_LE(control.rate(), 2'000'000u);
    control.rest(); // the call ends
    EXPECT_NEAR(static_cast<double>(control.rate()), 20e6, 2e6);
}

} // namespace
} // namespace kudo
