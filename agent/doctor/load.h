// SPDX-License-Identifier: MIT
// Twenty seconds of what a call sends, to a server that the administrator has named: does the network keep up, or does
// something throttle it (flood control)?
// Invariant: nothing is sent without --load and --server.
#pragma once

#include <chrono>
#include <vector>

#include "agent/doctor/check.h"
#include "agent/doctor/examination.h"

namespace kudo {

// 50 small and 150 large requests a second, which the server answers: about 1.3 Mbit/s up.
inline constexpr unsigned load_rate = 200, load_seconds = 20;
inline constexpr std::size_t small_request = 160, large_request = 1040; // bytes of UDP payload; one in four is small

struct LoadOutcome {
    struct Second {
        unsigned sent = 0, answered = 0;
    };
    std::vector<Second> seconds;                 // by when they were sent
    std::vector<std::chrono::microseconds> rtts; // of all that were answered
};
CheckReport judge_load(LoadOutcome outcome, const Address& server); // pure

CheckReport check_load(Examination& examination);

} // namespace kudo
