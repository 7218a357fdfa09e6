// SPDX-License-Identifier: MIT
// The counters, read from the kernel and added up: the facts behind `stats`.
// Invariant: packets and bytes are as on the wire, bytes of layer 3; totals are the sum over the reasons.
#pragma once

#include <array>
#include <chrono>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "agent/datapath/probes.h"
#include "agent/datapath/rtp_streams.h"
#include "agent/inspect/denied_flows.h"
#include "agent/inspect/drift.h"
#include "agent/queues/queues.h"
#include "agent/system/instance.h"
#include "bpf/abi.h"
#include "maps/base/result.h"
#include "maps/net/prefix.h"

namespace kudo {

using Directions = std::array<kudo_counter, KUDO_DIRECTIONS>; // by kudo_direction

struct FlowRecord {
    uint8_t protocol = 0; // IPPROTO_*
    Address local, remote;
    uint16_t local_port = 0, remote_port = 0; // 0: the packets carry none
    bool non_first_fragment = false;          // these carry no ports because they are fragments after the first
    uint32_t interface_index = 0;
    std::string interface; // its name now; "#7" if it is gone
    std::string service;   // "" if none
    kudo_class class_ = KUDO_CLASS_NONE;
    kudo_verdict verdict = KUDO_PASS;
    kudo_reason reason = KUDO_REASON_NO_POLICY;
    bool named_by_tls = false; // of reason NAME: by its ClientHello, not by DNS
    Prefix range;              // that decided; the address alone, if a name did
    uint32_t generation = 0;   // that judged it last
    Directions counters{};
    std::chrono::system_clock::time_point first_seen, last_seen; // resolution of the kernel's tick
    std::vector<RtpStream> streams;                              // class media over UDP, both directions
    std::optional<FlowProbe> probe;                              // STUN of class media over UDP
};

struct Statistics {
    uint32_t generation = 0;
    std::chrono::system_clock::time_point read_at;
    Directions totals{};
    std::array<Directions, KUDO_REASON_END> reasons{};
    std::array<uint64_t, KUDO_ANSWER_END> dns{}; // by kudo_dns_outcome
    std::array<uint64_t, KUDO_TLS_END> tls{};    // by kudo_tls_outcome
    struct ServiceCounters {
        std::array<Directions, KUDO_CLASSES> classes{}; // by kudo_class; NONE: known range, no rule
        [[nodiscard]] Directions total() const;
    };
    std::map<std::string, ServiceCounters>
        services;                  // every service of the active policy, also at zero, and older ones with counts
    std::vector<FlowRecord> flows; // only if asked for; busiest first
    uint64_t flow_entries = 0, flow_capacity = 0; // rows of both tables together
    uint64_t unrecorded_flow_packets = 0;         // counted everywhere but in a flow
    // Counted in flows whose rows the full table has given to others since: a flow that goes on begins at zero again.
    // At least so many, as packets of this moment may be in the flows already.
    uint64_t evicted_flow_packets = 0;
    std::vector<QueueNumbers> queues; // of the interfaces that we are attached to
    Drift stale;                      // what says that the range map may be stale
    Denied denied;                    // what mode enforce or a rehearsal of it has to say
};

// Errors: NotEnabled, NotPermitted.
Result<Statistics> read_statistics(const Instance& instance);

} // namespace kudo
