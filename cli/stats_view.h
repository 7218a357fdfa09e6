// SPDX-License-Identifier: MIT
// Statistics as JSON and as tables, and how fast they grow.
// Included by the stats command, demo and the tests. Invariant: pure; the JSON's names are a contract (DESIGN: command
// line).
#pragma once

#include <optional>
#include <string>

#include "agent/statistics.h"
#include "cli/json.h"

namespace kudo {

// What was added between two readings.
struct Growth {
    double seconds = 0;
    Directions totals{};
    std::map<std::string, Statistics::ServiceCounters> services;
};
// Counters that went down have begun anew: their growth is what they show now.
Growth growth(const Statistics& before, const Statistics& now, double seconds);

struct StatsView {
    bool flows = false;                // all of them (JSON: the key is there); else tables say how many
    const Growth* growth = nullptr;    // adds rates
    std::size_t flow_limit = SIZE_MAX; // of the table
    bool colour = false;
};
OrderedJson stats_json(const Statistics& statistics, const StatsView& view);
std::string stats_text(const Statistics& statistics, const StatsView& view);

OrderedJson flow_json(const FlowRecord& flow);
std::string protocol_name(uint8_t protocol);                      // "udp"; the number where we have no name
std::string endpoint_text(const Address& address, uint16_t port); // "1.2.3.4:443", "[2001:db8::1]:443", "1.2.3.4"

} // namespace kudo
