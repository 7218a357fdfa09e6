// SPDX-License-Identifier: MIT
// What a change did, as text and as JSON.
// Invariant: says what is in force now, also where nothing changed.
#pragma once

#include <string>

#include "agent/reconcile/reconcile.h"
#include "cli/ranges/current_rules.h"
#include "cli/terminal/json.h"

namespace kudo {

// What the rules in use ask for, in figures.
struct PolicySummary {
    DesiredState state;
    uint64_t serial = 0;
    std::string source;
    std::size_t prefixes4 = 0, prefixes6 = 0, nat64 = 0;
};
PolicySummary summarise(const DesiredState& state, const ReconcileReport& report);

// "regions ca, mode prioritise, range map 2022030100 (built-in), 45 IPv4 and 0 IPv6 ranges"
std::string summary_text(const PolicySummary& summary);
// "eth0 uplink: htb in place of pfifo_fast (the kernel's default): why", and the same for a downlink that has a queue.
std::string queues_text(const std::string& interface, const InterfaceQueues& queues);
void to_json(OrderedJson& json, const QueueReport& queue);
// The interfaces, and the warnings.
std::string report_text(const ReconcileReport& report, bool colour);
OrderedJson report_json(const ReconcileReport& report, const PolicySummary& summary);

} // namespace kudo
