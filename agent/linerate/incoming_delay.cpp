// SPDX-License-Identifier: MIT
#include "agent/linerate/incoming_delay.h"

#include <algorithm>
#include <cstdlib>
#include <utility>

namespace kudo {
namespace {

using namespace std::chrono_literals;
using Time = IncomingDelay::Time;

constexpr Time fresh = 500ms;
constexpr Time jump = 1s;     // between two packets: another clock, or a pause that the timestamps do not know
constexpr Time doubt = 100ms; // a pause, perhaps, or a queue
// Two clocks part by up to 0.1 ms a second.
constexpr Time stream_span = 15s, round_trip_span = 1min;

} // namespace

void IncomingDelay::Floor::note(Time at, Time value, Time span) {
    if (!known) *this = {.now = value, .before = value, .since = at, .known = true};
    if (at - since > span) {
        before = now;
        now = value;
        since = at;
    }
    now = std::min(now, value);
}

// While a queue fills packets arrive slower than they were sent, so that the programs, which want the clock's rate to
// 3 %, do not find it. The rates that there are lie further apart than that.
uint32_t IncomingDelay::guess_scale(const Stream& stream) {
    const auto elapsed = static_cast<double>((stream.arrival - stream.begin).count());
    if (elapsed < 2e9) return 0;
    for (const double hertz : {8000.0, 16000.0, 48000.0, 90000.0})
        if (std::abs(static_cast<double>(stream.ticks) / elapsed * 1e9 - hertz) < 0.3 * hertz)
            return static_cast<uint32_t>(1024e9 / hertz);
    return 0;
}

bool IncomingDelay::media(Time now, Time arrival, uint32_t timestamp, uint32_t scale) {
    if (!stream_) {
        // Goes on from where the one before has been.
        stream_ = Stream{timestamp, arrival, transits_.known ? transits_.least() : Time{}, arrival};
        return false;
    }
    if (arrival == stream_->arrival) return false;
    const auto ticks = static_cast<int32_t>(timestamp - stream_->timestamp); // wraps as timestamps do
    const Time between = arrival - stream_->arrival;
    stream_->timestamp = timestamp;
    stream_->arrival = arrival;
    stream_->ticks += ticks;
    if (scale == 0) scale = guess_scale(*stream_);
    if (scale == 0) return false;
    const Time late = between - Time(static_cast<int64_t>(ticks) * scale / 1024);
    if (std::chrono::abs(late) < jump) stream_->transit += late;
    if (late > doubt && late < jump) {
        stream_->doubtful += late;
        stream_->doubted = 0;
    }
    transit_at_ = now;
    transits_.note(now, stream_->transit, stream_span);
    return true;
}

void IncomingDelay::round_trip(Time now, Time rtt) {
    round_trip_ = rtt;
    round_trip_at_ = now;
    round_trips_.note(now, rtt, round_trip_span);
    if (!stream_ || stream_->doubtful == Time{}) return;
    if (rtt - round_trips_.least() >= stream_->doubtful / 2) {
        stream_->doubtful = {};
    } else if (now != std::exchange(stream_->doubted_at, now) && ++stream_->doubted == 2) {
        // Those that were read first may have come before the packet that was late.
        stream_->transit -= stream_->doubtful;
        stream_->doubtful = {};
    }
}

std::optional<Time> IncomingDelay::extra(Time now) const {
    if (!stream_ || !round_trips_.known || now - transit_at_ > fresh || now - round_trip_at_ > fresh)
        return std::nullopt;
    return std::min(stream_->transit - transits_.least(), round_trip_ - round_trips_.least());
}

std::optional<Time> IncomingDelay::way(Time now) const {
    const auto more = extra(now);
    if (!more) return std::nullopt;
    return transits_.least() + *more;
}

std::optional<Time> IncomingDelay::least_round_trip() const {
    if (!round_trips_.known) return std::nullopt;
    return round_trips_.least();
}

} // namespace kudo
