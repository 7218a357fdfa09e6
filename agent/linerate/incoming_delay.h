// SPDX-License-Identifier: MIT
// How long what comes in is under way, and what of a round trip is the way back: from the times of arrival and the
// timestamps of one RTP stream (RFC 3550 section 6.4.1: its transit time), and from round trips to the same server.
// Invariant: pure, without a clock. A delay of the stream alone may be its sender's own line, one of the round trip
// alone the way out: only what both have is the way in.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <optional>

namespace kudo {

class IncomingDelay {
public:
    using Time = std::chrono::nanoseconds; // of any clock that never jumps

    // The stream's newest packet. `timestamp`: of the RTP header; `scale`: 1024 ns a tick, 0: not known yet. True: it
    // is a new one, and the delay is known.
    bool media(Time now, Time arrival, uint32_t timestamp, uint32_t scale);
    void round_trip(Time now, Time rtt);
    void forget_stream() { stream_.reset(); }

    // Of what comes in now, counted from anywhere; nothing: packets of the stream or round trips are missing for half a
    // second.
    [[nodiscard]] std::optional<Time> way(Time now) const;
    // So much longer than at least in the last half minute.
    [[nodiscard]] std::optional<Time> extra(Time now) const;
    // The least round trip of the last minutes; nothing: there was none.
    [[nodiscard]] std::optional<Time> least_round_trip() const;

private:
    // The least of the last one to two spans.
    struct Floor {
        Time now{}, before{}, since{};
        bool known = false;
        void note(Time at, Time value, Time span);
        [[nodiscard]] Time least() const { return std::min(now, before); }
    };
    struct Stream {
        uint32_t timestamp = 0;
        Time arrival{};    // of that
        Time transit{};    // in all
        Time begin{};      // the first arrival
        int64_t ticks = 0; // since then
        Time doubtful{};   // of `transit`: a queue, or a pause of the sender's, which the next round trips tell
        unsigned doubted = 0;
        Time doubted_at{};
    };

    static uint32_t guess_scale(const Stream& stream);

    std::optional<Stream> stream_;
    Time transit_at_{}, round_trip_{}, round_trip_at_{};
    Floor transits_, round_trips_;
};

} // namespace kudo
