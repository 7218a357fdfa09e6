// SPDX-License-Identifier: MIT
// What RTP, STUN and TCP tell of one flow's way through the network.
// Invariant: pure.
#pragma once

#include <chrono>
#include <vector>

#include "agent/diagnosis/findings.h"

namespace kudo {

// Of one flow: lost in the network, and how that looks.
std::vector<Finding> flow_findings(const Diagnosis& diagnosis, std::size_t flow);

// Packets of a stream that will not come any more: lost, and those of the newest 512 numbers that have been missing for
// two seconds.
uint64_t missing_of(const RtpQuality& quality, std::chrono::system_clock::time_point now);
// The same against what was expected.
RtpLoss loss_of(const RtpQuality& quality, std::chrono::system_clock::time_point now);
// Of all incoming streams of the flow together; expected 0: there are none.
RtpLoss incoming_loss(const FlowRecord& flow, std::chrono::system_clock::time_point now);

} // namespace kudo
