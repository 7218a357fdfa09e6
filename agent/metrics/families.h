// SPDX-License-Identifier: MIT
// What is exported as metrics: names and units by Prometheus' conventions, text format 0.0.4.
// Invariant: pure. Labels have a bounded number of values (services, classes, reasons, layers, directions, queues of
// watched interfaces), never a flow or an address; what was not read has no series.
#pragma once

#include <chrono>
#include <optional>
#include <string>

#include "agent/drops/drop.h"
#include "agent/inspect/statistics.h"
#include "agent/inspect/status.h"

namespace kudo {

// What the service has seen of the host in its last round.
struct StatusFacts {
    std::chrono::system_clock::time_point read_at;
    bool enabled = false, healthy = false;
    std::string mode; // as judged now
    std::size_t problems = 0, alarms = 0;
    uint64_t serial = 0;
    std::optional<Time> effective, next_effective,
        enforce_ends; // of the map, of the staged one, of an unconfirmed mode
    std::size_t prefixes4 = 0, prefixes6 = 0;
    std::size_t retiring_ranges = 0, stray_remotes = 0, moved_names = 0;
};
StatusFacts facts_of(const Status& status);

// The kernel's causes of drops with their sums; see DropReport.
struct DropFacts {
    std::chrono::system_clock::time_point read_at;
    bool measured = false;
    std::vector<Drop> totals;
};

struct MetricsInput {
    std::optional<StatusFacts> status;
    std::optional<Statistics> counters; // read_totals(); nothing: there is no data path
    std::optional<DropFacts> drops;     // nothing: not read yet, or not enabled
};
std::string metrics_text(const MetricsInput& input);

} // namespace kudo
