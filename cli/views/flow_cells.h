// SPDX-License-Identifier: MIT
// What is known of one flow, as cells of tables: loss, round trip, jitter, processes.
// Invariant: pure; "-" where there is nothing to measure, "?" where this process may not know.
#pragma once

#include <chrono>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "agent/diagnosis/diagnosis.h"
#include "cli/terminal/output.h"

namespace kudo {

std::string service_cell(const FlowRecord& flow); // "opentok by TLS": named, not by a range; "-": none
std::string milliseconds_text(double value);      // "9.4 ms", "120 ms"
std::string loss_cell(const RtpLoss& loss);       // "0", "0.35 %"; "-" where nothing was expected

// Milliseconds, by STUN (median), else as TCP has it; nothing: not measured.
std::optional<double> round_trip_ms(const FlowRecord& flow, const FlowDiagnosis* detail);
std::string round_trip_cell(const FlowRecord& flow, const FlowDiagnosis* detail);

// Milliseconds: of the incoming RTP stream with the most; nothing: not measured.
std::optional<double> jitter_ms(const FlowRecord& flow);
std::string jitter_cell(const FlowRecord& flow);

// "chrome", "chrome +2"
std::string processes_cell(const std::vector<SocketOwner>& processes, bool complete);
std::string processes_cell(const FlowDiagnosis* detail);

// Which SSRC of these flows is what, and what the network did to it.
Table streams_table(std::span<const FlowRecord> flows, std::chrono::system_clock::time_point read_at);

} // namespace kudo
