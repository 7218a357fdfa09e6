// SPDX-License-Identifier: MIT
// How fast a shaper may send on a line whose rate is not known and changes, from round trips on that line and what the
// shaper has sent: see docs/queues.md, "A rate that follows the line".
// Invariant: pure, without a clock; the rate stays within its bounds. Only extra delay that comes and goes with what is
// sent is taken for the line's queue.
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <optional>
#include <string>

#include "agent/queues/spec.h"

namespace kudo {

// The line is taken for a FIFO: what was sent between two requests that found it busy has left it between their
// responses. So two round trips tell its rate, whether its queue grows or drains. Incoming, with the shaper behind the
// line, what arrives while the line has a queue is its rate; the shaper changes what senders do a round trip later.
class RateControl {
public:
    using Time = std::chrono::nanoseconds; // of any clock that never jumps
    enum class Way { Out, In };

    RateControl(const RateBounds& bounds, uint64_t rate, Way way = Way::Out);

    // Every 10 to 100 ms. `bytes`: that have come to the line so far, out: all that the shaper has sent; in: all that
    // has arrived at it. `waiting`: packets wait in the shaper.
    void sent(Time now, uint64_t bytes, bool waiting);
    // Out: a request right behind what was sent last; numbers ascend.
    void request(Time now, uint32_t number);
    // `other_way`: so much of it is the queue's on the way back, as far as is known.
    void response(uint32_t number, Time rtt, Time other_way = {});
    // In: how long the way took for what has just arrived, counted from anywhere. `lag`: until senders answer.
    void arrival(Time now, Time delay, Time lag);
    // Another server, or another way to it: what it takes at least is not known any more.
    void forget_path();
    // Nothing is measured any more for now: what was only for a moment, to drain a queue or to try, is not left behind.
    void rest();

    // After what has come: the rate from now on.
    uint64_t decide(Time now);

    [[nodiscard]] uint64_t rate() const { return static_cast<uint64_t>(rate_); }
    // The line for which packets may wait in the shaper: out, what it carried before its queue grew last; in, what it
    // carries now, as measured.
    [[nodiscard]] uint64_t room_for() const { return static_cast<uint64_t>(room_for_); }
    // Is enough sent to fill the line, if it is a slow one? Only then is there anything to learn.
    [[nodiscard]] bool is_busy() const { return busy_; }
    // Requests are not answered any more, for seconds; the rate is that of before.
    [[nodiscard]] bool is_silent() const { return phase_ == Phase::Silent; }
    // For the log.
    [[nodiscard]] std::string phase_name() const;
    // What a round trip takes without a queue; nothing: not known yet.
    [[nodiscard]] std::optional<Time> baseline() const;

private:
    enum class Phase {
        Learn,  // little is sent until round trips fall no further: the baseline
        Grow,   // faster in steps, until the line's queue grows
        Drain,  // below the line until its queue is empty
        Steady, // just below the line
        Push,   // a little above it for a moment: has it become faster?
        Judge,  // what came of that
        Silent,
    };
    struct Probe {
        uint32_t number = 0;
        Time sent_at{};
        uint64_t bytes = 0; // sent before it
        std::optional<Time> rtt{};
        [[nodiscard]] Time arrival() const { return sent_at + *rtt; }
    };
    struct Sent {
        Time at{};
        uint64_t bytes = 0;
        bool waiting = false;
    };
    // What the newest requests tell of the queue's delay.
    struct Delay {
        Time newest{};     // at least
        unsigned high = 0; // of the newest three
        bool is_high = false;
        bool is_low = false; // of the newest two that were sent in this phase
    };

    [[nodiscard]] Time base() const;
    [[nodiscard]] Time frame_time() const; // of a full frame on the line
    [[nodiscard]] Time push_time() const;
    [[nodiscard]] double resting_rate() const;
    [[nodiscard]] Time high() const;
    [[nodiscard]] Time low() const;
    [[nodiscard]] Delay delay(Time now) const;
    [[nodiscard]] std::optional<Time> mean_excess(Time from, Time to) const; // of requests sent then
    [[nodiscard]] std::optional<double> sent_rate(Time from, Time to) const;
    [[nodiscard]] std::optional<double> line_estimate(Time from) const; // by responses since then
    [[nodiscard]] bool is_flat(Time now, Time span) const; // round trips have neither grown nor fallen for so long
    [[nodiscard]] bool has_lost(Time now, Time span) const;
    [[nodiscard]] Time last_answer(Time now) const; // since when nothing has come back of what should have

    void step(Time now);
    void enter(Phase phase, Time now);
    void drain(Time now, const Delay& delay);
    void learn(Time now, const Delay& delay);
    void go_on_draining(Time now, const Delay& delay);
    void judge(Time now);
    void grow(Time now);
    void note_baseline(Time now, Time rtt);
    void set_line(double line);
    void set_rate(double rate);

    RateBounds bounds_;
    Way way_;
    double rate_, line_, room_for_; // line_: as last found
    Time lag_{};                    // from a new rate to what it does on the line
    Time origin_{};                 // of what arrivals are counted from
    uint32_t arrivals_ = 0;
    Phase phase_ = Phase::Grow;
    Time since_{}, cut_at_{}, at_least_since_{}, last_push_{}, push_end_{}, decided_at_{};
    double before_ = 0;                     // line_, before what may have been no more than jitter
    double measured_ = 0;                   // the same, or what responses have told since then
    bool proved_ = false;                   // two round trips have told the line since then
    Time push_excess_{};                    // before a push
    double push_by_;                        // the next one
    Time learn_from_{};                     // what a round trip took then
    bool busy_ = false, saturated_ = false; // saturated_: the shaper holds packets back, or nearly so
    unsigned idle_responses_ = 0;           // since the path is known
    bool baseline_known_ = false;
    Time floor_{}, floor_before_{}, floor_since_{}; // the least round trips of this minute or so, and of the one before
    Time jitter_{}, last_rtt_{};
    std::deque<Probe> probes_; // of the last seconds
    std::deque<Sent> sent_;
};

} // namespace kudo
