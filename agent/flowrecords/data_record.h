// SPDX-License-Identifier: MIT
// One flow record: an IPFIX Data Record (RFC 7011 section 2), or a line of JSON.
// Invariant: a biflow (RFC 5103) whose forward direction is what this host sends; packets and bytes of layer 3 as on
// the wire. Trivially copyable: it goes to another process as it is.
#pragma once

#include <cstdint>
#include <limits>
#include <string>
#include <type_traits>

#include "bpf/abi.h"

namespace kudo {

// flowEndReason, RFC 5102 section 5.11.3. What ends a TCP connection is not looked at: 3 is never told.
enum class FlowEnd : uint8_t { Idle = 1, Active = 2, Forced = 4, NoRoom = 5 };
std::string_view flow_end_name(FlowEnd end); // "idle", "active", "forced", "no_room"

inline constexpr uint64_t unknown_count = std::numeric_limits<uint64_t>::max();
inline constexpr uint32_t unknown_time = std::numeric_limits<uint32_t>::max();

// What tells flows apart for whoever reads the records.
struct FlowIdentity {
    uint8_t family = 4; // 4 or 6
    uint8_t protocol = 0;
    uint16_t local_port = 0, remote_port = 0; // host order; 0: the packets carry none
    uint8_t non_first_fragment = 0;           // 1: these carry no ports because they are fragments after the first
    uint8_t pad = 0;
    uint32_t interface_index = 0;
    uint8_t local[16] = {}, remote[16] = {}; // network order; IPv4 has the first four
    bool operator==(const FlowIdentity&) const = default;
};
static_assert(std::has_unique_object_representations_v<FlowIdentity>);

struct DataRecord {
    FlowIdentity flow;
    uint64_t flow_id = 0;             // of the identity; the same after a restart
    char service[80] = {};            // ends with a zero; empty: none
    char interface[32] = {};          // the same: its name when the record was made
    uint8_t class_ = KUDO_CLASS_NONE; // enum kudo_class
    uint8_t verdict = KUDO_PASS;      // enum kudo_verdict
    uint8_t reason = 0;               // enum kudo_reason
    FlowEnd end = FlowEnd::Active;
    uint32_t jitter_us = unknown_time; // of the incoming RTP stream that has most
    uint32_t rtt_us = unknown_time;    // STUN's median
    // Milliseconds since 1970. The record is of [start, stop], the flow's first packet came at first_seen.
    int64_t first_seen = 0, start = 0, stop = 0;
    kudo_counter counters[KUDO_DIRECTIONS] = {}; // counted in this time, by enum kudo_direction
    // In packets, since the flow began.
    uint64_t upstream_lost = unknown_count; // of incoming RTP streams, before the programs
    uint64_t host_lost[KUDO_DIRECTIONS] = {unknown_count, unknown_count};  // what the kernel dropped, not by policy
    uint64_t queue_lost[KUDO_DIRECTIONS] = {unknown_count, unknown_count}; // of those in a queue
};
static_assert(std::is_trivially_copyable_v<DataRecord>);

// A JSON object without a newline; what is not known is null.
std::string json_line(const DataRecord& record);

} // namespace kudo
