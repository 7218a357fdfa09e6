// SPDX-License-Identifier: MIT
// Turns the flow table's times into wall time. The programs keep jiffies, whose reading costs them one load instead of
// a helper call; here they are set against both clocks of one moment.
#pragma once

#include <chrono>

#include "agent/datapath/datapath.h"
#include "maps/base/result.h"

namespace kudo {

class TickClock {
public:
    static Result<TickClock> read(DataPath& data_path);
    // Resolution: one tick (1 to 10 ms). Steps of the wall clock since then are not known to the kernel's ticks: the
    // time is what the clock would have shown had it been set as it is now.
    [[nodiscard]] std::chrono::system_clock::time_point wall_time(uint64_t jiffies) const;

private:
    std::chrono::system_clock::time_point now_;
    uint64_t jiffies_ = 0;
    uint64_t ticks_per_second_ = 0;
};

// Ticks per second (CONFIG_HZ) from one reading of both clocks: jiffies begin 300 s before they wrap 32 bits
// (linux/jiffies.h, INITIAL_JIFFIES), CLOCK_MONOTONIC at 0. 0: this near to 300 s of uptime all rates look alike.
uint64_t ticks_per_second(const kudo_clock_reading& reading);
// The same from two readings some time apart.
uint64_t ticks_per_second(const kudo_clock_reading& first, const kudo_clock_reading& second);

} // namespace kudo
