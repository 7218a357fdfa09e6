// SPDX-License-Identifier: MIT
// Statistics as JSON and as tables, and how fast they grow.
// Included by the stats command, demo and the tests. Invariant: pure; the JSON's names are a contract (DESIGN: command
// line).
#pragma once

#include <functional>
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
    bool flows = false;                // all of them in tables, which else say how many; JSON always has them
    const Growth* growth = nullptr;    // adds rates
    std::size_t flow_limit = SIZE_MAX; // of the table
    bool colour = false;
};
// Gives `write` the document piece by piece, with a newline at its end.
using Write = std::function<Result<void>(std::string_view)>;
Result<void> write_stats_json(const Statistics& statistics, const StatsView& view, bool one_line, const Write& write);
std::string stats_text(const Statistics& statistics, const StatsView& view);

OrderedJson strays_json(const std::vector<StrayRemote>& strays);      // a list, also in the status
OrderedJson moved_names_json(const std::vector<NamedAddress>& names); // the same
std::string flow_json(const FlowRecord& flow);                        // one line
std::string protocol_name(uint8_t protocol);                          // "udp"; the number where we have no name
std::string endpoint_text(const Address& address, uint16_t port);     // "1.2.3.4:443", "[2001:db8::1]:443", "1.2.3.4"

} // namespace kudo
