// SPDX-License-Identifier: MIT
// What this host has lost of KUDO's packets in the last minute, for `status`.
// Invariant: where the service has kept no counters of a minute ago, the share is that of a flow's whole life, and said
// to be.
#pragma once

#include <chrono>
#include <optional>
#include <string>

#include "agent/system/instance.h"
#include "maps/base/result.h"

namespace kudo {

struct RecentLosses {
    bool measured = false; // false: what the kernel drops is not measured; see `why_not`
    std::string why_not{};
    std::optional<std::chrono::seconds> period{}; // about a minute; nothing: the flow's whole life
    uint64_t packets = 0;                         // lost in this host, of whatever flows; only with a period
    double worst_share = 0;                       // of one flow's packets in one direction, 0 to 1
    std::string worst_flow{};                     // and which; empty: nothing was lost
    std::string layer{};                          // where its packets were lost: as layer_name()

    [[nodiscard]] bool is_degraded() const { return worst_share >= 0.01; }
};

// Errors: as read_statistics().
Result<RecentLosses> read_recent_losses(const Instance& instance);

// "none in the last minute"; "12 % of udp … in the last 61 s, at a socket: see kudo-agent stats"
std::string losses_text(const RecentLosses& losses);

} // namespace kudo
