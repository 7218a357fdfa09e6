// SPDX-License-Identifier: MIT
// What mode enforce does with packets of one remote address: who may open, and which rule says so. Decided by the same
// functions as in the kernel (bpf/judge.h, bpf/admit.h).
// Invariant: pure. What depends on the packet's own bytes (options, checksums, fragments) is not here.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "agent/inspect/learned_names.h"
#include "maps/compile/compile.h"

namespace kudo {

struct AdmissionCase {
    std::string
        packet; // "this host opens", "the remote answers", "the remote opens"; of echo "this host pings" and so on
    kudo_reason reason = KUDO_REASON_STRANGER;
    bool admitted = false;
    std::string
        by{}; // the rule or "lifeline NAME: RULE" that admits, or matches and does not; empty: the range map, or none
};

struct AdmissionCases {
    std::vector<AdmissionCase> cases;
    std::vector<std::string> rules; // all whose prefix holds the address, in their order, as `by`
};

// `policy`, `match`: as kudo_judge() takes them. `port`: the remote's; nothing: echo. `names`: what DNS
// has given the address for.
AdmissionCases admission_cases(const kudo_policy& policy, const kudo_match* match, const std::vector<AllowRule>& allow,
                               const Address& remote, const std::optional<PortRule>& port,
                               const std::vector<LearnedName>& names = {});

} // namespace kudo
