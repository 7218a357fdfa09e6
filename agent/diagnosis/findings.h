// SPDX-License-Identifier: MIT
// What is recognised in a diagnosis: in what this host's kernel has dropped, and in what RTP, STUN and TCP tell of the
// network.
// Invariant: pure. A finding names only what was seen; its summary is one sentence that a helpdesk can read aloud.
#pragma once

#include <chrono>
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "agent/diagnosis/diagnosis.h"
#include "agent/diagnosis/verdict.h"

namespace kudo {

// What ended longer ago is "past": shown, but behind what goes on.
inline constexpr std::chrono::minutes findings_are_recent{10};
// What goes on: it comes first, and the rules that are there now are those that dropped.
inline constexpr std::chrono::minutes recent_minute{1};

inline constexpr uint64_t usual_receive_buffer = 212'992; // net.core.rmem_default as kernels come

// Longer ago than findings_are_recent.
bool is_past(const Diagnosis& diagnosis, std::chrono::system_clock::time_point last);
// Packets of a flow that this host has dropped, and that is loss.
uint64_t dropped_here(const Diagnosis& diagnosis, std::size_t flow, kudo_direction direction);
// A row has counted in one direction.
kudo_direction direction_of(const Drop& drop);

// For texts.
std::string flow_text(const FlowOfDrop& flow, kudo_direction direction); // incoming: "udp from REMOTE to LOCAL"
std::string flow_text(const FlowRecord& flow);                           // "udp 10.0.0.2:40000 to 52.200.60.17:3478"
std::string part_text(uint64_t part, uint64_t whole);                    // "12 of 3456 packets (0.35 %)"
std::string percent_text(double share);                                  // "0.35 %", "12 %"; "< 0.01 %"

} // namespace kudo
