// SPDX-License-Identifier: MIT
// What mode enforce drops, or a rehearsal of it would: by reason, and by flow.
// Invariant: counts of flows are "at least": under a flood only some packets are entered. The counts by reason are
// exact.
#pragma once

#include <array>
#include <chrono>
#include <string>
#include <vector>

#include "agent/datapath/datapath.h"
#include "agent/inspect/drift.h"
#include "bpf/abi.h"
#include "maps/base/result.h"
#include "maps/net/prefix.h"

namespace kudo {

struct DeniedFlow {
    uint8_t protocol = 0; // IPPROTO_*
    Address local, remote;
    uint16_t local_port = 0, remote_port = 0; // 0: the packets carry none
    std::string interface;                    // its name now; "#7" if it is gone
    std::array<kudo_counter, KUDO_DIRECTIONS> counters{};
    std::array<kudo_reason, KUDO_DIRECTIONS> reasons{}; // of the last packet each way; only where that has counts
    std::chrono::system_clock::time_point first_seen, last_seen; // resolution of the kernel's tick
    std::string name; // of the remote by DNS, else of the port that is not ephemeral; may be empty

    [[nodiscard]] kudo_reason reason() const; // of the direction with more packets
    [[nodiscard]] uint64_t packets() const { return counters[KUDO_INGRESS].packets + counters[KUDO_EGRESS].packets; }
};

struct Denied {
    kudo_admission admission = KUDO_ADMISSION_NONE;                                      // in effect now
    std::array<std::array<kudo_counter, KUDO_DIRECTIONS>, KUDO_REASON_END> would_drop{}; // of all rehearsals so far
    std::vector<DeniedFlow> flows;                                                       // most packets first
    uint64_t untracked_packets = 0; // in no row; of all rehearsals and enforcements so far
    std::size_t capacity = 0;       // rows; where all are used the longest silent flows go
};

// `counters`: all CPUs'. `names`: of remotes, as read_drift() has them.
Result<Denied> read_denied_flows(DataPath& data_path, const kudo_counters& counters,
                                 const std::vector<NamedAddress>& names);

} // namespace kudo
