// SPDX-License-Identifier: MIT
// The hosts of a fleet as their reports describe them, and which of a ring do not have what they should.
// Invariant: pure functions; a host that is silent or whose report cannot be read counts as one that has nothing.
#pragma once

#include <chrono>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "agent/fleet/host_report.h"
#include "agent/sources/nats/connection.h"

namespace kudo {

using WallTime = std::chrono::system_clock::time_point;

struct FleetHost {
    std::string name;                 // printable, from the key
    std::optional<HostReport> report; // nothing: it cannot be read
    std::string problem;              // why not
    std::size_t namesakes = 0;        // other live machines that report under this name
    std::chrono::nanoseconds age{};   // of the report, by the server's time stamp; never negative
};

// An entry of the bucket of hosts. The report must be of this fleet and of the host whose key it is.
FleetHost read_fleet_host(const NatsEntry& entry, const std::string& fleet, WallTime now);

// Of the rows of one name, removes those that another one supersedes: of an older version (without identity), of the
// same machine before it was booted again, or silent while another is not. What is left of it are several machines.
void settle_names(std::vector<FleetHost>& hosts, std::chrono::seconds silent_after);

// What a ring's hosts should have.
struct Wanted {
    bool is_key_set = false;
    uint64_t serial = 0;
    Time effective{}; // of a map: until then it is enough to have it staged
};

struct Complaint {
    enum class Kind { Unreadable, Silent, Clash, Alarm, Unhealthy, Behind };
    Kind kind;
    std::string text; // printable: "silent for 3 h", "alarm: ...", "has 2022030100, not 2022040100"
};

// Empty: the host is good. `wanted` is nothing if nothing has been published for its ring.
std::vector<Complaint> complaints(const FleetHost& host, const std::optional<Wanted>& wanted,
                                  std::chrono::seconds silent_after, Time now);

struct Straggler {
    const FleetHost* host;
    std::vector<Complaint> complaints; // at least one
    [[nodiscard]] std::string text() const;
};

struct RingCount {
    std::size_t hosts = 0, good = 0, staged = 0, degraded = 0, silent = 0, clashing = 0, alarmed = 0, unreadable = 0;
    std::map<uint64_t, std::size_t> by_serial, by_staged_serial;
    std::vector<Straggler> stragglers; // by name
};

// Of those hosts whose report names this ring; with an empty ring, of those whose report cannot be read.
RingCount count_ring(const std::vector<FleetHost>& hosts, const std::string& ring, const std::optional<Wanted>& wanted,
                     std::chrono::seconds silent_after, Time now);

// Why what `ring` has may not go on to the next; empty: it may. `unreadable` is count_ring() of no ring: any of them
// may belong to this one.
std::vector<std::string> reasons_against(const RingCount& ring, const RingCount& unreadable, double required_percent);

} // namespace kudo
