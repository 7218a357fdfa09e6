// SPDX-License-Identifier: MIT
// What is shown of statistics, and how fast they grow. See stats_json.h and stats_text.h.
// Invariant: pure.
#pragma once

#include <map>
#include <string>

#include "agent/inspect/statistics.h"

namespace kudo {

// What was added between two readings.
struct Growth {
    double seconds = 0;
    Directions totals{};
    std::map<std::string, Statistics::ServiceCounters> services;
};
// Counters that went down were reset: their growth is what they show now.
Growth growth(const Statistics& before, const Statistics& now, double seconds);

struct StatsView {
    bool flows = false;                // all of them in tables, which else say how many; JSON always has them
    bool drops = false;                // each with its flow and place; else by cause
    std::size_t width = 80;            // of the terminal, in characters
    const Growth* growth = nullptr;    // adds rates
    std::size_t flow_limit = SIZE_MAX; // of the table
    bool colour = false;
};

} // namespace kudo
