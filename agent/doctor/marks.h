// SPDX-License-Identifier: MIT
// Do marks (DSCP) survive the way to KUDO? The same STUN requests side by side, unmarked and with each mark that is in
// use; and which router on the way shows a packet's mark changed.
// Invariant: a mark is said to lose only against unmarked packets of the same moments.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "agent/doctor/check.h"
#include "agent/doctor/examination.h"
#include "agent/state/lost_marks.h"

namespace kudo {

// What a router on the way had as the mark of a packet that ended there (ICMP time exceeded quotes its header, RFC 792,
// RFC 1812 section 4.3.2.3).
struct HopOutcome {
    unsigned ttl = 0;
    Address router{};
    uint8_t sent = 0, quoted = 0; // DSCP
};

// Pure. `outcomes`: the first is unmarked.
CheckReport judge_marks(const std::vector<MarkOutcome>& outcomes, const std::vector<HopOutcome>& hops,
                        const Subject& subject);

// Sends the requests; what is not known then is why not.
MarkExchange ask_with_marks(Examination& examination);
// Judges them, and asks the routers on the way, which needs CAP_NET_RAW.
CheckReport check_marks(Examination& examination);

} // namespace kudo
