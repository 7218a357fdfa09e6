// SPDX-License-Identifier: MIT
// Drift: what says that the range map may be stale. Media servers that answer this host at addresses outside of the
// map, and names of the map that DNS now has at such addresses.
// Invariant: what is listed has answered a request of this host's (bpf/stun.bpf.h, bpf/dns.bpf.h), and the active
// policy does not have the address, or has it for media.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "agent/datapath/datapath.h"
#include "maps/base/result.h"
#include "maps/compile/compile.h"
#include "maps/document/range_map.h"
#include "maps/net/prefix.h"

namespace kudo {

struct StrayRemote {
    Address remote;
    uint64_t requests = 0, answers = 0;                          // STUN, to and from UDP 3478
    std::chrono::system_clock::time_point first_seen, last_seen; // answers; resolution of the kernel's tick
    std::string interface; // where the last request went out: its name now; "#7" if it is gone
    std::string name;      // one of the map's, if DNS gave this address for it; "": not seen
};

// A name that this host asked for, at an address of the last answer.
struct NamedAddress {
    std::string name;
    Address address;
    std::chrono::system_clock::time_point last_seen; // the answer; resolution of the kernel's tick
    std::string interface; // where the question went out, as above; "": by one that is not watched, or loopback
    std::string service;   // of the map, which has this name
    std::string within{};  // another service of the map, whose media range has the address; empty: no range has it
};

struct Drift {
    std::vector<StrayRemote> strays;       // newest first
    std::vector<NamedAddress> moved_names; // newest first
    [[nodiscard]] bool empty() const { return strays.empty() && moved_names.empty(); }
};

// What was seen last before that is not listed.
inline constexpr std::chrono::hours drift_is_kept{7 * 24};

// What speaks against the active policy. Until judge_by_map() `moved_names` has every name that was asked for and is
// under the same two last labels as one of the map's. Reads times by the program of clock.h, and loads that if it is
// not there.
Result<Drift> read_drift(DataPath& data_path);

// Leaves what speaks against the map itself. Strays: not what the map has for a region or as an optional service that
// was not chosen. Names: those that the map itself has, not by a wildcard, for a chosen service with ranges, since it
// says of no others where they are; and not at special-purpose addresses (RFC 6890), which are a filter's answer, nor
// at those that embed an address of the map (DNS64). And names of any chosen service, not by a wildcard, that are in
// another service's media ranges: what goes there is judged as media's, by its ports.
void judge_by_map(Drift& drift, const RangeMap& map, const CompileOptions& options);
// Where the map cannot be read: strays without names are left.
void judge_without_map(Drift& drift);

} // namespace kudo
