// SPDX-License-Identifier: MIT
// How KUDO's traffic fares while somebody waits, and what the service has kept of how it fared before.
// Invariant: reading only. Each list is of what it says and of nothing else: loss is known by the second from the RTP
// streams themselves, round trips and rate only from readings.
#pragma once

#include <chrono>
#include <string>

#include "agent/diagnosis/timeline.h"
#include "agent/system/instance.h"
#include "maps/base/result.h"

namespace kudo {

inline constexpr std::chrono::seconds reading_every{1};

struct Recording {
    Timeline streams;            // loss by the second, of at least the last minute before the end
    Timeline samples;            // round trips and rate, of the time of waiting alone
    Timeline kept;               // all three, by the service's snapshots of this data path: at most a day
    std::string why_none_kept{}; // empty: there are some
};

// Waits for so long; zero: reads once. Errors: as read_statistics().
Result<Recording> record(const Instance& instance, std::chrono::seconds duration);

} // namespace kudo
