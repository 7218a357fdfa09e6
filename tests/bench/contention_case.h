// SPDX-License-Identifier: MIT
// One case of the contention benchmark: a fresh line, with the agent or without, media, and what fills the line.
// Invariant: nothing of a case is left for the next one.
#pragma once

#include <string>
#include <vector>

#include "tests/bench/contention_delivery.h"
#include "tests/bench/contention_line.h"

namespace kudo::bench {

enum class Load {
    Idle,    // one media flow alone
    Tcp,     // and 8 TCP flows of strangers
    Flood,   // and strangers' datagrams of twice what the line carries
    Overload // ten media flows, of more than the line carries, and the 8 TCP flows
};

struct ContentionCase {
    Direction direction = Direction::Uplink; // of the load, and of the media unless it makes round trips
    Load load = Load::Idle;
    std::string queue{};                    // the agent's; empty: without the agent
    bool round_trip = false;                // the server returns all media, and delays are those of round trips
    [[nodiscard]] std::string name() const; // "uplink, 8 TCP flows, htb"
};

struct ContentionSettings {
    double warm_up = 1.5, measured = 6; // s
    double line = 20;                   // the modem's rate each way, Mbit/s; the media and the flood go with it
    std::string uplink, downlink;       // the agent's rates
    std::string congestion_control;     // of TCP
    double rtt = 0;                     // ms; see ContentionLine
};

struct SsrcDelivery {
    uint32_t ssrc = 0;
    bool video = false;
    Delivery delivery;
};

struct ContentionResult {
    ContentionCase of;
    ContentionSettings settings;
    std::string refused{}; // why the agent does not have this queue here: no figures then
    Delivery media{}, audio{}, video{};
    std::vector<SsrcDelivery> ssrcs{};
    Quantiles sender_late{};
    double up_mbit = 0, down_mbit = 0; // of bulk's payload, at the receivers
    [[nodiscard]] double bulk_mbit() const { return up_mbit + down_mbit; }
};

ContentionResult run_case(const ContentionCase& which, const ContentionSettings& settings);

} // namespace kudo::bench
