// SPDX-License-Identifier: MIT
#include "agent/linerate/rate_control.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include <fmt/format.h>

namespace kudo {
namespace {

using namespace std::chrono_literals;
using Time = RateControl::Time;

constexpr double frame = 1514 * 8; // bits
// Of the line. What comes in is slowed down by its senders alone, who learn of a rate later.
struct Shares {
    double rest;       // where the shaper rests
    double push;       // more than the line, for a moment
    double after_push; // until it is judged
    double bucket;     // bits: what a line may take at once before a queue grows, as a token bucket does
};
constexpr Shares out_shares{.rest = 0.96, .push = 1.08, .after_push = 0.96, .bucket = 6 * frame};
constexpr Shares in_shares{.rest = 0.89, .push = 1.06, .after_push = 0.82, .bucket = 3 * frame};
constexpr double long_push = 1.25, growth = 1.15;
constexpr Time push_every = 1s, growth_time = 100ms;
constexpr Time kept = 4s, probes_kept = 20s;                   // a deep queue on a slow line takes that long
constexpr Time floor_lives = 2min, incoming_floor_lives = 30s; // the latter by two clocks, which part
constexpr Time silence = 3s;
constexpr Time blind = 1s;       // of what comes in; longer than that it may be that nothing is sent
constexpr Time longest_way = 1s; // more than that is a queue, however long it stays
constexpr Time room_follows = 1500ms;
constexpr unsigned idle_enough = 3;

double seconds(Time time) {
    return std::chrono::duration<double>(time).count();
}

const Shares& shares_of(RateControl::Way way) {
    return way == RateControl::Way::Out ? out_shares : in_shares;
}

} // namespace

RateControl::RateControl(const RateBounds& bounds, uint64_t rate, Way way)
    : bounds_(bounds), way_(way), rate_(static_cast<double>(std::clamp(rate, bounds.min, bounds.max))), line_(rate_),
      room_for_(rate_), push_by_(shares_of(way).push) {}

void RateControl::forget_path() {
    probes_.clear();
    floor_ = floor_before_ = floor_since_ = jitter_ = last_rtt_ = {};
    baseline_known_ = false;
    idle_responses_ = 0;
    phase_ = Phase::Grow;
}

void RateControl::rest() {
    if (phase_ == Phase::Silent || (phase_ == Phase::Grow && rate_ <= line_)) return;
    if (phase_ == Phase::Drain || phase_ == Phase::Learn) set_line(measured_);
    set_rate(resting_rate());
    phase_ = Phase::Steady;
    if (way_ == Way::In) room_for_ = line_;
}

std::optional<Time> RateControl::baseline() const {
    if (!baseline_known_) return std::nullopt;
    return base();
}

std::string RateControl::phase_name() const {
    static constexpr const char* names[] = {"learn", "grow", "drain", "steady", "push", "judge", "silent"};
    const auto ms = [](Time time) { return std::chrono::duration<double, std::milli>(time).count(); };
    return fmt::format("{}, line {:.2f} Mbit/s, round trip {:.1f} ms of at least {:.1f}, jitter {:.1f}",
                       names[static_cast<std::size_t>(phase_)], line_ / 1e6, ms(last_rtt_), ms(base()), ms(jitter_));
}

void RateControl::sent(Time now, uint64_t bytes, bool waiting) {
    if (!sent_.empty() && bytes < sent_.back().bytes) { // another qdisc
        sent_.clear();
        probes_.clear();
    }
    sent_.push_back({now, bytes, waiting});
    while (sent_.front().at < now - kept)
        sent_.pop_front();
    while (!probes_.empty() && probes_.front().sent_at < now - probes_kept)
        probes_.pop_front();
    std::size_t looks = 0, waits = 0;
    for (auto each = sent_.rbegin(); each != sent_.rend() && each->at > now - 250ms; ++each, ++looks)
        waits += each->waiting;
    const double rate = sent_rate(now - 250ms, now).value_or(0);
    saturated_ = waits * 2 > looks || rate > 0.9 * rate_;
    busy_ = saturated_ || rate > static_cast<double>(bounds_.min) / 2;
}

void RateControl::request(Time now, uint32_t number) {
    if (!sent_.empty()) probes_.push_back({number, now, sent_.back().bytes});
}

void RateControl::response(uint32_t number, Time rtt, Time other_way) {
    const auto probe = std::ranges::find(probes_, number, &Probe::number);
    if (probe == probes_.end() || probe->rtt || rtt <= Time{}) return;
    note_baseline(probe->sent_at, rtt);
    probe->rtt = std::max(rtt - other_way, base());
}

// As a request that was sent when it entered the line, and whose bytes are those that left the line before it.
void RateControl::arrival(Time now, Time delay, Time lag) {
    if (sent_.empty()) return;
    lag_ = lag;
    constexpr Time some = 1ms; // no way takes no time
    if (probes_.empty()) origin_ = delay;
    if (delay < origin_) { // all that was counted before has taken longer
        for (Probe& probe : probes_) {
            probe.sent_at -= origin_ - delay;
            *probe.rtt += origin_ - delay;
        }
        for (Time* time : {&floor_, &floor_before_, &last_rtt_, &learn_from_})
            if (*time != Time{}) *time += origin_ - delay;
        origin_ = delay;
    }
    const Time took = some + delay - origin_;
    probes_.push_back({++arrivals_, now - took, sent_.back().bytes, took});
    note_baseline(now, took);
}

void RateControl::note_baseline(Time now, Time rtt) {
    if (floor_since_ == Time{}) floor_since_ = now;
    if (now - floor_since_ > (way_ == Way::Out ? floor_lives : incoming_floor_lives)) {
        floor_before_ = floor_;
        floor_ = {};
        floor_since_ = now;
    }
    if (floor_ == Time{} || rtt < floor_) floor_ = rtt;
    if (!busy_ && ++idle_responses_ >= idle_enough) baseline_known_ = true;
    // Of round trips without a queue, by what differs from one to the next.
    if (last_rtt_ != Time{} && phase_ == Phase::Steady) jitter_ += (std::chrono::abs(rtt - last_rtt_) - jitter_) / 16;
    last_rtt_ = rtt;
}

Time RateControl::base() const {
    if (floor_ == Time{}) return floor_before_;
    return floor_before_ == Time{} ? floor_ : std::min(floor_, floor_before_);
}

Time RateControl::frame_time() const {
    return Time(static_cast<int64_t>(frame / std::max(line_, rate_) * 1e9));
}

double RateControl::resting_rate() const {
    return line_ * shares_of(way_).rest;
}

// Until the line would have a queue of about 10 ms.
Time RateControl::push_time() const {
    const Shares& shares = shares_of(way_);
    const Time fills_bucket(static_cast<int64_t>(shares.bucket / ((shares.push - 1) * line_) * 1e9));
    return 150ms + 2 * lag_ + std::min<Time>(fills_bucket, 650ms);
}

Time RateControl::high() const {
    return std::min<Time>(10ms + 2 * jitter_, 40ms) + 2 * frame_time();
}

Time RateControl::low() const {
    return std::min<Time>(3ms + jitter_, 20ms) + frame_time() * 3 / 2;
}

// A request that a later one has overtaken is lost, and says nothing of a delay; those behind the last response that
// take longer than they should are delayed at least so long.
RateControl::Delay RateControl::delay(Time now) const {
    Delay result;
    unsigned heard = 0, calm = 0;
    bool answered = false;
    for (auto probe = probes_.rbegin(); probe != probes_.rend() && (heard < 3 || !answered); ++probe) {
        if (!probe->rtt && answered) continue;
        const Time excess = (probe->rtt ? *probe->rtt : now - probe->sent_at) - base();
        if (!probe->rtt && excess <= high()) continue; // on its way
        if (!answered) result.newest = std::max(result.newest, excess);
        answered |= probe->rtt.has_value();
        if (heard++ >= 3) continue;
        result.high += excess > high();
        calm += heard <= 2 && probe->rtt && excess <= low() && probe->sent_at > since_;
    }
    result.is_high = result.high >= 2 || (result.high >= 1 && result.newest > 4 * high());
    result.is_low = calm == 2;
    return result;
}

template <typename Which> static std::optional<Time> mean(const auto& probes, const Which& which) {
    Time sum{};
    int count = 0;
    for (const auto& probe : probes)
        if (probe.rtt && which(probe)) {
            sum += *probe.rtt;
            count++;
        }
    if (count == 0) return std::nullopt;
    return sum / count;
}

std::optional<Time> RateControl::mean_excess(Time from, Time to) const {
    const auto found = mean(probes_, [&](const Probe& probe) { return probe.sent_at >= from && probe.sent_at <= to; });
    if (!found) return std::nullopt;
    return *found - base();
}

std::optional<double> RateControl::sent_rate(Time from, Time to) const {
    const Sent *first = nullptr, *last = nullptr;
    for (const Sent& each : sent_)
        if (each.at >= from && each.at <= to) {
            if (!first) first = &each;
            last = &each;
        }
    if (!first || last->at - first->at < 10ms) return std::nullopt;
    return static_cast<double>(last->bytes - first->bytes) * 8 / seconds(last->at - first->at);
}

std::optional<double> RateControl::line_estimate(Time from) const {
    const Probe *first = nullptr, *last = nullptr;
    for (const Probe& probe : probes_) {
        if (!probe.rtt || probe.arrival() < from) continue;
        if (baseline_known_ && *probe.rtt - base() <= low()) { // it has found the line idle, or nearly so
            if (last) break;
            continue;
        }
        if (!first) first = &probe;
        last = &probe;
    }
    if (!first || last->arrival() - first->arrival() < 80ms) return std::nullopt;
    return static_cast<double>(last->bytes - first->bytes) * 8 / seconds(last->arrival() - first->arrival());
}

// Over both the whole span and its last half: at the top of a hill only one of them is flat.
bool RateControl::is_flat(Time now, Time span) const {
    const auto came = [&](Time from, Time to) {
        return mean(probes_, [&](const Probe& probe) {
            return probe.sent_at > since_ && probe.arrival() > from && probe.arrival() <= to;
        });
    };
    for (const Time part : {span, span / 2}) {
        const auto early = came(now - part, now - part / 2), late = came(now - part / 2, now);
        if (!early || !late ||
            std::chrono::abs(*early - *late) >= std::max<Time>(low() / 2, std::min<Time>(*early / 20, 20ms)))
            return false;
    }
    return true;
}

bool RateControl::has_lost(Time now, Time span) const {
    unsigned lost = 0, open = 0;
    bool comes = false;
    for (const Probe& probe : probes_) {
        const bool came = probe.rtt && probe.arrival() > now - span;
        if (came) lost += std::exchange(open, 0);
        comes |= came;
        open += comes && !probe.rtt;
    }
    return !comes || lost >= 2;
}

// What a long queue still delivers is an answer.
Time RateControl::last_answer(Time now) const {
    if (probes_.empty()) return now;
    if (way_ == Way::In) return probes_.back().arrival();
    const auto newest = std::ranges::find_if(probes_.rbegin(), probes_.rend(),
                                             [](const Probe& probe) { return probe.rtt.has_value(); });
    Time since = newest == probes_.rend()     ? probes_.front().sent_at
                 : newest == probes_.rbegin() ? now
                                              : newest.base()->sent_at;
    for (const Probe& probe : probes_)
        if (probe.rtt) since = std::max(since, probe.arrival());
    return since;
}

void RateControl::set_line(double line) {
    line_ = std::clamp(line, static_cast<double>(bounds_.min), static_cast<double>(bounds_.max) / shares_of(way_).rest);
}

void RateControl::set_rate(double rate) {
    rate_ = std::clamp(rate, static_cast<double>(bounds_.min), static_cast<double>(bounds_.max));
}

void RateControl::enter(Phase phase, Time now) {
    phase_ = phase;
    since_ = now;
}

void RateControl::drain(Time now, const Delay& delay) {
    before_ = measured_ = line_;
    push_by_ = shares_of(way_).push;
    proved_ = false;
    cut_at_ = at_least_since_ = now;
    set_line(phase_ == Phase::Push || phase_ == Phase::Judge ? line_ : before_ * (delay.newest > 50ms ? 0.6 : 0.85));
    enter(Phase::Drain, now);
    const double before = rate_;
    go_on_draining(now, delay);
    if (phase_ == Phase::Drain) set_rate(std::min(rate_, before));
}

void RateControl::go_on_draining(Time now, const Delay& delay) {
    const Time in_phase = now - since_;
    // What has come in before nothing did tells nothing of now.
    const Time unheard = way_ == Way::In ? now - last_answer(now) : Time{};
    const bool is_heard = unheard < 100ms;
    if (delay.is_low && is_heard) {
        // Without proof it was no more than jitter.
        if (!proved_) set_line(before_ * 0.98);
        enter(Phase::Steady, now);
        last_push_ = now;
        return set_rate(resting_rate());
    }
    const bool lost = has_lost(now, 500ms);
    if (rate_ > static_cast<double>(bounds_.min)) at_least_since_ = now;
    if (in_phase > 600ms + lag_ && is_heard && last_rtt_ < longest_way && is_flat(now, 600ms) &&
        (!lost || now - at_least_since_ > 1s)) {
        // Less is sent, or the least, and it takes no shorter: this is how long the way is now.
        floor_ = floor_before_ = {};
        for (const Probe& probe : probes_) // there are some, or it would not be flat
            if (probe.rtt && probe.arrival() > now - 600ms && (floor_ == Time{} || *probe.rtt < floor_))
                floor_ = *probe.rtt;
        floor_since_ = now;
        set_line(before_);
        enter(Phase::Steady, now);
        last_push_ = now;
        return set_rate(resting_rate());
    }
    const auto estimate = line_estimate(std::max(since_ - 100ms, now - 500ms));
    if (estimate && is_heard && !lost) {
        proved_ = true;
        set_line(*estimate);
        measured_ = line_;
    } else if (unheard > blind) {
        return;
    } else if (now - cut_at_ > 250ms + lag_) { // nothing comes back, or the queue overflows
        cut_at_ = now;
        proved_ = true;
        set_line(line_ * 0.6);
    }
    set_rate(line_ * (delay.newest > 80ms ? 0.5 : delay.newest > 30ms ? 0.65 : 0.8));
}

// With what little is sent the queue drains, if there is one.
void RateControl::learn(Time now, const Delay& delay) {
    const Time in_phase = now - since_;
    const bool lost = has_lost(now, 400ms);
    if (in_phase > 4s || (in_phase > 500ms + lag_ && is_flat(now, 400ms) && !lost)) {
        baseline_known_ = true;
        const bool was_queue = proved_ || learn_from_ > base() + 20ms; // it has fallen
        if (!proved_) set_line(was_queue ? rate_ : before_);
        enter(Phase::Grow, now);
        return set_rate(proved_ ? resting_rate() : line_);
    }
    if (delay.is_high && delay.newest > high()) { // it grows: it has been shorter
        baseline_known_ = true;
        return drain(now, delay);
    }
    const auto estimate = line_estimate(since_);
    const auto early = mean_excess(since_ - 100ms, since_ + 100ms), late = mean_excess(now - 150ms, now);
    if (estimate && early && late && *early - *late > 20ms && !is_flat(now, 400ms)) {
        proved_ = true;
        set_line(*estimate);
        measured_ = line_;
        set_rate(line_ * 0.5);
    } else if (way_ == Way::In && now - last_answer(now) > blind) {
        return;
    } else if (lost && now - cut_at_ > 300ms) {
        cut_at_ = now;
        set_rate(rate_ * 0.6);
    }
}

void RateControl::judge(Time now) {
    if (now - push_end_ < std::max<Time>({base() * 2, 100ms, lag_})) return;
    const Time begin = since_ + lag_, middle = begin + (push_end_ - begin) / 2;
    const auto excess = mean_excess(middle, push_end_ + 20ms);
    const double pushed = sent_rate(middle, push_end_).value_or(0);
    // The upper bound may be too little above the line to tell; what is sent out tells nothing of the line either.
    const bool is_at_most =
        way_ == Way::In && excess && *excess - push_excess_ < 1ms && pushed > 0.97 * static_cast<double>(bounds_.max);
    const bool faster = push_end_ - since_ >= push_time() && excess &&
                        *excess - push_excess_ < 4ms + frame_time() / 2 && (pushed > line_ * 1.03 || is_at_most);
    // A class may not have all of the rate, video in htb nine tenths: then that little more is never sent.
    const bool is_held_back = saturated_ && excess && *excess - push_excess_ < 4ms && pushed <= line_ * 1.03;
    push_by_ = is_held_back && !faster ? long_push : shares_of(way_).push;
    last_push_ = now;
    if (!faster) {
        enter(Phase::Steady, now);
        return set_rate(resting_rate());
    }
    set_line(pushed);
    enter(Phase::Grow, now);
    set_rate(pushed * growth);
}

void RateControl::grow(Time now) {
    const Time begin = since_ + 2 * lag_;
    if (now - begin < std::max(growth_time, std::min<Time>(6 * frame_time(), 300ms))) return;
    const auto excess = mean_excess(begin, now);
    if (!saturated_ || !excess || *excess > low()) return;
    const double pushed = sent_rate(begin + 20ms, now).value_or(0);
    if (pushed < 0.85 * rate_) return;
    set_line(pushed);
    enter(Phase::Grow, now);
    set_rate(rate_ * growth);
}

uint64_t RateControl::decide(Time now) {
    step(now);
    const bool is_guessed = phase_ == Phase::Drain || phase_ == Phase::Learn;
    if (way_ == Way::In)
        room_for_ = is_guessed ? measured_ : line_;
    else if (decided_at_ != Time{} && !is_guessed)
        room_for_ = std::max(line_, room_for_ * std::exp(-seconds(now - decided_at_) / seconds(room_follows)));
    decided_at_ = now;
    return rate();
}

void RateControl::step(Time now) {
    const Delay delay = this->delay(now);
    const bool none = std::ranges::none_of(probes_, [](const Probe& probe) { return probe.rtt.has_value(); });
    const bool is_silent = now - last_answer(now) > silence;
    if (phase_ == Phase::Silent) {
        if (is_silent || none) return;
        enter(Phase::Grow, now);
    } else if (is_silent) {
        rest();
        return enter(Phase::Silent, now);
    }
    if (none) return;
    if (!baseline_known_ && phase_ != Phase::Learn) {
        const auto first = mean_excess(now - 500ms, now);
        if (!busy_ || !first) return;
        before_ = measured_ = rate_;
        proved_ = false;
        cut_at_ = now;
        learn_from_ = *first + base();
        enter(Phase::Learn, now);
        set_rate(sent_rate(now - 300ms, now).value_or(rate_) * 0.5);
    }
    if (phase_ == Phase::Learn) {
        learn(now, delay);
    } else if (phase_ == Phase::Drain) {
        go_on_draining(now, delay);
    } else if (delay.is_high) {
        // What others on the line do to it while next to nothing is sent here is not for this shaper to make way for.
        if (busy_) drain(now, delay);
    } else if (phase_ == Phase::Grow) {
        // What is not sent is no trial; the less of it that is, the more the next burst would find out at once.
        if (rate_ > line_ && now - since_ > 1s && sent_rate(now - 1s, now).value_or(line_) < line_ / 2) {
            enter(Phase::Steady, now);
            return set_rate(resting_rate());
        }
        grow(now);
    } else if (phase_ == Phase::Push) {
        const Time limit = std::max(push_excess_, Time{}) + low() + 2ms;
        if (now - since_ >= push_time() || (delay.newest > limit && now - since_ > 75ms + lag_)) {
            phase_ = Phase::Judge; // since_ stays
            push_end_ = now;
            set_rate(line_ * shares_of(way_).after_push);
        }
    } else if (phase_ == Phase::Judge) {
        judge(now);
    } else if (saturated_ && now - last_push_ > push_every && delay.is_low) {
        push_excess_ = mean_excess(now - 400ms, now).value_or(Time{});
        enter(Phase::Push, now);
        set_rate(line_ * push_by_);
    }
}

} // namespace kudo
