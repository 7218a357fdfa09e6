// SPDX-License-Identifier: MIT
// STUN on KUDO's media flows as a probe of the path: round-trip times, requests without a response, and the address
// that the far side sees. What exactly is counted: bpf/stun_probe.h. Invariant: only a response with the transaction of
// a request that this host sent on the same flow counts; requests = responses + unanswered + pending.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <unordered_map>

#include "agent/datapath/clock.h"
#include "agent/datapath/datapath.h"
#include "bpf/abi.h"
#include "maps/base/result.h"

namespace kudo {

// Milliseconds. Retransmitted requests are left out (which of them was answered cannot be known).
struct RoundTrips {
    uint64_t count = 0;
    double p50 = 0, p99 = 0; // within 7 %
    double min = 0, last = 0;
    double total = 0;  // of all `count` together, within 7 %
    uint64_t slow = 0; // of `count`: three times `min` or more, and 60 ms longer; the bound is within 7 %
};

// This host as the far side sees it: XOR-MAPPED-ADDRESS, RFC 8489 section 14.2.
struct MappedAddress {
    std::string address; // "203.0.113.7", "2001:db8::7"
    uint16_t port = 0;
    bool operator==(const MappedAddress&) const = default;
};

// The mapped address changed: a NAT on the way gave the flow another one.
struct MappedChange {
    MappedAddress before, after;
    std::chrono::system_clock::time_point time; // of the first response with the new address
    // The longest time without any incoming packet of the flow between the responses with either address; known to 200
    // ms.
    std::chrono::milliseconds quiet_before{};
};

struct FlowProbe {
    uint64_t requests = 0;      // of this host, each transaction once
    uint64_t responses = 0;     // success or error, each transaction once
    uint64_t unanswered = 0;    // requests older than 5 s, or more than 16 requests ago, that have no response
    uint64_t pending = 0;       // younger ones
    uint64_t retransmitted = 0; // transactions sent again, each time
    uint64_t remote_requests = 0, remote_responses = 0; // requests of the far side, and this host's responses to it
    std::optional<RoundTrips> rtt{};                    // nothing: no response yet to a request that was sent once
    std::optional<MappedAddress> mapped{};
    uint64_t mapped_changes = 0;
    std::optional<MappedChange> last_change{};
    std::optional<std::chrono::system_clock::time_point> last_request{}, last_response{};
    std::optional<std::chrono::system_clock::time_point> last_inbound{}; // any packet, known to 200 ms
};

// By the bytes of the flow's key, struct kudo_flow4_key or kudo_flow6_key, as RtpStreams is.
using FlowProbes = std::unordered_map<std::string, FlowProbe>;
Result<FlowProbes> read_probes(const DataPath::Maps& maps);

// `probe`: as the programs wrote it. `now`: of when it was read.
FlowProbe describe(const kudo_stun_probe& probe, const MonotonicClock& now);

} // namespace kudo
