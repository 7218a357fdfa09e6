// SPDX-License-Identifier: MIT
// The shape of what is missing of RTP streams in time: outages that all of a flow's streams share, and a steady rate of
// which the rest is missing. Invariant: pure.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <vector>

#include "agent/datapath/rtp_streams.h"

namespace kudo {

// The usual limits of flood controls: 500, 1000, 2000, 5000 packets a second, and their multiples.
std::optional<uint32_t> round_rate_near(double rate);

// An outage that all streams of the flow had which were there: begin, length, packets a second before.
struct JointOutage {
    std::chrono::system_clock::time_point begin;
    std::chrono::milliseconds duration{};
    uint32_t rate = 0;
};
// `streams`: with quality.
std::vector<JointOutage> joint_outages(const std::vector<const RtpStream*>& streams);

// From some second on a constant rate arrives and the rest is missing: what a limit on packets a second does.
struct RateLimit {
    double rate = 0;    // packets a second that get through
    double missing = 0; // share
    std::size_t seconds = 0;
};
std::optional<RateLimit> rate_limit_of(const std::vector<const RtpStream*>& streams);

} // namespace kudo
