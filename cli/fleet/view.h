// SPDX-License-Identifier: MIT
// A fleet as its message server shows it: which hosts have reported, and what is published in each ring.
// Invariant: read-only; nothing here has been verified, and all texts are printable.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "cli/fleet/hosts.h"

namespace kudo {

struct PublishedDocument {
    uint64_t serial = 0; // 0: it cannot be read
    Time effective{};    // of a map
    std::string problem; // why it cannot be read
    std::chrono::nanoseconds age{};
};

struct FleetRing {
    std::optional<PublishedDocument> map, keys;
    // What its hosts should have; nothing if nothing readable has been published.
    [[nodiscard]] std::optional<Wanted> wanted() const;
};

struct FleetView {
    std::vector<FleetHost> hosts;           // by name
    std::map<std::string, FleetRing> rings; // those with hosts or documents
};

Result<std::vector<FleetHost>> read_fleet_hosts(NatsConnection& connection, const std::string& fleet, WallTime now);
Result<FleetView> read_fleet(NatsConnection& connection, const std::string& fleet, WallTime now);

} // namespace kudo
