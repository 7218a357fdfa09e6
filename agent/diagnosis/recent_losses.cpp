// SPDX-License-Identifier: MIT
#include "agent/diagnosis/recent_losses.h"

#include <algorithm>

#include <fmt/format.h>

#include "agent/diagnosis/diagnosis.h"
#include "agent/diagnosis/host_findings.h"
#include "agent/drops/tracing.h"

namespace kudo {
namespace {

constexpr uint64_t least_packets = 5; // a single one is no share of anything

bool is_recent_loss(const Drop& drop, std::chrono::system_clock::time_point now) {
    return drop.is_loss && !drop.is_ours && now - drop.last_seen <= recent_minute;
}

} // namespace

Result<RecentLosses> read_recent_losses(const Instance& instance) {
    RecentLosses losses{.period = recent_minute};
    auto data_path = KUDO_TRY(DataPath::open(instance));
    const Tracing tracing = read_tracing(data_path);
    losses.measured = tracing.attached;
    losses.why_not = tracing.why_not;
    const auto now = std::chrono::system_clock::now();
    // Nearly always not: then nothing else need be read.
    if (!KUDO_TRY(has_drops_since(data_path, recent_minute))) return losses;

    const auto diagnosis = KUDO_TRY(diagnose(instance, {.owners = false, .since = recent_minute, .or_whole = true}));
    losses.period = diagnosis.since;
    for (const DiagnosedDrop& drop : diagnosis.drops) {
        if (!is_recent_loss(drop.drop, now) || (!drop.drop.namespace_known && !drop.flow)) continue;
        for (const kudo_direction direction : {KUDO_INGRESS, KUDO_EGRESS}) {
            const uint64_t lost = drop.drop.counters[direction].packets;
            if (lost == 0) continue;
            losses.packets += lost;
            const double share = share_of_flow(diagnosis, drop, direction);
            if (lost < least_packets || share <= losses.worst_share) continue;
            losses.worst_share = share;
            losses.layer = layer_name(drop.drop.layer);
            losses.worst_flow = drop.flow ? flow_text(diagnosis.statistics.flows[*drop.flow]) : "a flow that is gone";
        }
    }
    if (losses.worst_flow.empty()) losses.period = recent_minute;
    return losses;
}

std::string losses_text(const RecentLosses& losses) {
    if (!losses.measured) return "not measured: " + losses.why_not;
    if (losses.worst_flow.empty()) return "this host has lost none of KUDO's packets in the last minute";
    const std::string period = losses.period ? fmt::format("in the last {} s", losses.period->count())
                                             : "since it began (the last within a minute)";
    return fmt::format("this host lost {} of {} {}, in layer {}: see kudo-agent stats",
                       percent_text(losses.worst_share), losses.worst_flow, period, losses.layer);
}

} // namespace kudo
