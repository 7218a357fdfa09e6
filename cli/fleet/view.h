// SPDX-License-Identifier: MIT
// A fleet as its message server shows it: who has reported, and what stands in each ring.
// Invariant: reading only; nothing here has been verified, and all texts are printable.
#pragma once

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
    std::string name;
    std::optional<PublishedDocument> map, keys;
    // What its hosts should have: nothing if nothing readable has been published.
    [[nodiscard]] std::optional<Wanted> wanted() const;
};

struct FleetView {
    std::vector<FleetHost> hosts; // by name
    std::vector<FleetRing> rings; // by name: those with hosts or documents
};

Result<std::vector<FleetHost>> read_fleet_hosts(NatsConnection& connection, const std::string& fleet, WallTime now);
Result<FleetView> read_fleet(NatsConnection& connection, const std::string& fleet, WallTime now);

} // namespace kudo
