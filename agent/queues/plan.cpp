// SPDX-License-Identifier: MIT
#include "agent/queues/plan.h"

#include <fmt/format.h>

namespace kudo {

namespace {

// The uplink without a rate: packets queue here only when the device itself is slower than the host.
QueuePlan ordering_plan(const FoundQueue& found, std::optional<QueueKind> kind) {
    QueuePlan plan;
    if (kind) {
        plan.candidates = {ordering_queue(*kind, found.transmit_queues)};
        plan.text = fmt::format("{} without a rate", queue_kind_name(*kind));
        plan.why = "asked for; orders what waits for the device, without a rate";
    } else if (found.kind == "noqueue" || found.kind == "none") {
        plan.why = "packets never wait here; --uplink RATE would make a queue";
    } else if (found.honours_marks) {
        plan.why = "it honours the marks";
    } else if (found.made_by_admin) {
        plan.why = "made by an admin, and stays";
    } else if (found.kind == "fq_codel") {
        // prio with the same kind below each band: other traffic is queued as before.
        plan.candidates = {ordering_queue(QueueKind::Prio, found.transmit_queues)};
        plan.text = "ordered fq_codel";
        plan.why = "fq_codel does not look at marks; below prio it serves each class by itself";
    } else if (found.kind == "pfifo" || found.kind == "bfifo") {
        plan.candidates = {ordering_queue(QueueKind::PfifoFast, found.transmit_queues)};
        plan.text = "ordered fifo";
        plan.why = found.kind + " does not look at marks";
    } else {
        plan.why = found.kind + " does not look at marks, but nothing else is certain to serve the rest as well; "
                                "--uplink RATE or --queue KIND would replace it";
    }
    return plan;
}

} // namespace

std::string QueuePlan::why_with(const QueueTree& tree) const {
    const std::string_view but = caveat(tree.kind);
    return but.empty() ? why : fmt::format("{}; {}", why, but);
}

QueuePlan shaped_plan(const ShapedLine& line, std::optional<QueueKind> kind) {
    QueuePlan plan;
    for (const QueueKind candidate : queue_kinds)
        if (!kind || *kind == candidate) plan.candidates.push_back(shaped_queue(candidate, line));
    plan.text =
        fmt::format("{} at {} bit/s, MTU {}", kind ? queue_kind_name(*kind) : "best", line.bits_per_second, line.mtu);
    plan.why =
        fmt::format("shapes to {}, so that packets wait here, where the marks count", rate_text(line.bits_per_second));
    return plan;
}

QueuePlan uplink_plan(const FoundQueue& found, const QueueSpec& spec, uint32_t mtu) {
    if (spec.uplink.kind == ShaperSpec::Kind::Rate) {
        QueuePlan plan = shaped_plan({.bits_per_second = spec.uplink.bits_per_second, .mtu = mtu}, spec.kind);
        if (found.root == "mq") plan.why += "; one queue in place of mq, since the rate is the whole line's";
        return plan;
    }
    if (spec.uplink.kind == ShaperSpec::Kind::Off) {
        QueuePlan plan;
        plan.why = "left alone, as asked";
        return plan;
    }
    // A kind given together with a downlink rate alone is the downlink's.
    const bool only_downlink = spec.downlink.kind == ShaperSpec::Kind::Rate;
    return ordering_plan(found, only_downlink ? std::nullopt : spec.kind);
}

std::string downlink_unshaped(const ShaperSpec& spec) {
    return spec.kind == ShaperSpec::Kind::Off ? "left alone, as asked"
                                              : "without --downlink RATE nothing waits on the way in";
}

} // namespace kudo
