// SPDX-License-Identifier: MIT
// What a diagnosis adds to statistics, as JSON: the verdict, drops, and of a flow the network, this host, its process.
// Invariant: pure; the names are a contract (docs/json.md). What is not known is null.
#pragma once

#include "agent/diagnosis/diagnosis.h"
#include "cli/terminal/json.h"

namespace kudo {

OrderedJson verdict_json(const Verdict& verdict);
OrderedJson processes_json(const std::vector<SocketOwner>& processes);
OrderedJson drop_json(const Diagnosis& diagnosis, const DiagnosedDrop& drop);

// "network", "host", "process" and so on of a flow that was read at `read_at`; `detail`: null where nothing more is
// known of it.
OrderedJson flow_details_json(const FlowRecord& flow, const FlowDiagnosis* detail,
                              std::chrono::system_clock::time_point read_at);

} // namespace kudo
