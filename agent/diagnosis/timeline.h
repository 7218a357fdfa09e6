// SPDX-License-Identifier: MIT
// Loss, round trips and rate of KUDO's traffic over time: from readings of the counters, and from what RTP streams keep
// of their last minute.
// Invariant: pure. A value that nothing was counted for is nothing, never zero.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <vector>

#include "agent/diagnosis/diagnosis.h"
#include "agent/diagnosis/series.h"

namespace kudo {

// What was counted from `begin` on for so long.
struct TimelinePoint {
    std::chrono::system_clock::time_point begin;
    std::chrono::milliseconds duration{};
    std::optional<uint64_t> received{}, missing{};     // incoming RTP packets of all streams; nothing: there were none
    std::optional<double> rtt_ms{};                    // STUN, the mean
    std::optional<double> bits_in{}, bits_out{};       // a second, of layer 3
    std::optional<double> packets_in{}, packets_out{}; // a second

    [[nodiscard]] std::optional<double> loss() const; // 0 to 1
};
using Timeline = std::vector<TimelinePoint>; // oldest first

struct CounterReading {
    std::chrono::system_clock::time_point when;
    Series series;
};

// Between each reading and the next one; holds no more than the last one. Counters that have gone down began again at
// zero. A packet counts as missing when 511 higher ones have come: its time is that of this.
class TimelineOfReadings {
public:
    void add(CounterReading reading);
    [[nodiscard]] const Timeline& timeline() const { return timeline_; }

private:
    std::optional<CounterReading> last_;
    Timeline timeline_;
};

// Second by second, the last 64 s of each incoming stream; together by the second in which each begins.
Timeline timeline_of_streams(const Diagnosis& diagnosis);

} // namespace kudo
