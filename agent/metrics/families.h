// SPDX-License-Identifier: MIT
// What is exported as metrics: names and units by Prometheus' conventions, text format 0.0.4.
// Invariant: pure. Labels have a bounded number of values (services, classes, reasons, layers, directions, queues of
// watched interfaces), never a flow or an address; what was not read has no series.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

#include "agent/drops/drop.h"
#include "agent/inspect/statistics.h"
#include "agent/inspect/status.h"
#include "agent/metrics/media_loss.h"

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
    std::size_t retiring_ranges = 0, stray_remotes = 0, named_strays = 0, moved_names = 0;
};
StatusFacts facts_of(const Status& status);

// What the kernel has dropped of KUDO's packets, in packets.
struct DropFacts {
    using Directions = std::array<uint64_t, KUDO_DIRECTIONS>; // by kudo_direction
    std::chrono::system_clock::time_point read_at;
    bool measured = false;
    std::array<Directions, static_cast<std::size_t>(DropLayer::Other) + 1>
        lost{};          // by DropLayer; not what our policy has
    Directions untold{}; // is_untold()
    Directions all{};
};
DropFacts facts_of(const DropReport& report);
// Rows are read after sums, and old rows are evicted: what is lost never goes down while the tables live.
void keep_up(DropFacts& now, const DropFacts& before);

struct MetricsInput {
    std::string ring{};                        // this host's, in the fleet; empty: none
    bool looked = false;                       // the service has tried to look at the host
    std::optional<StatusFacts> status;         // nothing: not looked yet, or it could not be read
    std::optional<Statistics> counters;        // read_totals(); nothing: there is no data path
    std::optional<DropFacts> drops;            // nothing: not read yet, or not enabled
    std::optional<MediaLoss::Packets> media{}; // likewise
};
std::string metrics_text(const MetricsInput& input);

} // namespace kudo
