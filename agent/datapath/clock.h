// SPDX-License-Identifier: MIT
// Turns the flow table's times into wall time. The programs keep jiffies, whose reading costs them one load instead of
// a helper call; here they are set against the wall clock of one moment.
#pragma once

#include <chrono>

#include "agent/datapath/datapath.h"
#include "maps/base/result.h"

namespace kudo {

class TickClock {
public:
    static Result<TickClock> read(DataPath& data_path);
    [[nodiscard]] uint64_t now() const { return jiffies_; } // when it was read
    // Resolution: one tick (1 to 10 ms). Steps of the wall clock since then are not known to the kernel's ticks: the
    // time is what the clock would have shown had it been set as it is now.
    [[nodiscard]] std::chrono::system_clock::time_point wall_time(uint64_t jiffies) const;

private:
    std::chrono::system_clock::time_point now_;
    uint64_t jiffies_ = 0;
};

// The same for times of CLOCK_MONOTONIC in ns (bpf_ktime_get_ns()). Resolution: 1 ns, but for what the wall clock was
// set by since.
class MonotonicClock {
public:
    static MonotonicClock read(); // now
    // `monotonic`: that "now", and what the wall clock showed then.
    MonotonicClock(uint64_t monotonic, std::chrono::system_clock::time_point wall)
        : monotonic_(monotonic), wall_(wall) {}
    [[nodiscard]] uint64_t now() const { return monotonic_; }
    [[nodiscard]] std::chrono::system_clock::time_point wall_time(uint64_t monotonic) const;

private:
    uint64_t monotonic_;
    std::chrono::system_clock::time_point wall_;
};

// The running kernel's CONFIG_HZ: the coarse clocks' resolution is one tick, on every kernel and without privileges.
uint64_t ticks_per_second();

} // namespace kudo
