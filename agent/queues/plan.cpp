// SPDX-License-Identifier: MIT
#include "agent/queues/plan.h"

#include <algorithm>
#include <iterator>

#include <fmt/format.h>

#include "agent/queues/shaped_rate.h"
#include "maps/base/text.h"

namespace kudo {
namespace {

QueuePlan leave_alone(const FoundQueue& found, std::string why) {
    if (!found.caveat.empty()) add_clause(why, found.caveat);
    return {{}, {}, std::move(why)};
}

// The uplink without a rate: packets queue here only when the device itself is slower than the host.
QueuePlan ordering_plan(const FoundQueue& found, std::optional<QueueKind> kind) {
    const auto leave = [&](std::string why) { return leave_alone(found, std::move(why)); };
    const auto order = [&](QueueKind by, std::string text, std::string why) {
        return QueuePlan{{ordering_queue(by, found.transmit_queues)}, std::move(text), std::move(why)};
    };
    if (kind)
        return order(*kind, fmt::format("{} without a rate", queue_kind_name(*kind)),
                     "requested; orders packets queued for the device, without a rate");
    if (found.kind == "noqueue" || found.kind == "none")
        return leave(found.kind + ": nothing to schedule; --uplink RATE would add a shaper");
    if (found.honours_marks) return leave("already priority-aware");
    if (found.made_by_admin) return leave("configured by the administrator; left in place");
    // prio with the same kind below each band: other traffic is queued as before.
    if (found.kind == "fq_codel")
        return order(QueueKind::Prio, "ordered fq_codel",
                     "fq_codel ignores skb->priority; below prio it serves each class separately");
    if (found.kind == "pfifo" || found.kind == "bfifo")
        return order(QueueKind::PfifoFast, "ordered fifo", found.kind + " ignores skb->priority");
    return leave(found.kind + " ignores skb->priority, but no other qdisc is certain to serve other traffic as well; "
                              "--uplink RATE or --queue KIND would replace it");
}

// It begins at the most.
QueuePlan following_plan(const ShapedLine& line, const RateBounds& bounds, std::optional<QueueKind> kind) {
    QueuePlan plan = shaped_plan(line, kind);
    std::erase_if(plan.candidates, [](const QueueTree& tree) {
        return std::ranges::find(rate_follows, tree.kind) == std::end(rate_follows);
    });
    plan.text = fmt::format("{} from {} to {} bit/s, MTU {}", kind ? queue_kind_name(*kind) : "best", bounds.min,
                            bounds.max, line.mtu);
    plan.why = fmt::format("its rate follows the line from {} to {}", rate_text(bounds.min), rate_text(bounds.max));
    plan.follows = bounds;
    plan.mtu = line.mtu;
    return plan;
}

QueuePlan plan_for(const FoundQueue& found, const QueueSpec& spec, uint32_t mtu) {
    if (spec.uplink.has_rate()) {
        QueuePlan plan = line_plan(spec.uplink, mtu, false, spec.kind);
        if (found.root == "mq") plan.why += "; one qdisc in place of mq, since the rate is that of the whole line";
        return plan;
    }
    if (spec.uplink.kind == ShaperSpec::Kind::Off) return leave_alone(found, "left alone, as requested");
    // A kind given together with a downlink rate alone is the downlink's.
    const bool only_downlink = spec.downlink.has_rate();
    return ordering_plan(found, only_downlink ? std::nullopt : spec.kind);
}

constexpr const char* pfifo_fast_on_wifi =
    "; skb->priority is the Wi-Fi access category here, by which pfifo_fast puts only audio ahead of other traffic";

} // namespace

std::string QueuePlan::why_with(const QueueTree& tree) const {
    if (wifi && tree.kind == QueueKind::Cake)
        return why + "; skb->priority is the Wi-Fi access category here, so that cake goes by the DSCP";
    if (wifi && tree.kind == QueueKind::PfifoFast) return why + pfifo_fast_on_wifi;
    if (tree.kind != QueueKind::PfifoFast) return why;
    return why +
           "; pfifo_fast keeps audio and video in one FIFO ahead of other traffic: if media alone exceeds the line, "
           "audio is lost like video, and other traffic gets nothing; acknowledgements wait behind bulk";
}

QueuePlan shaped_plan(const ShapedLine& line, std::optional<QueueKind> kind) {
    QueuePlan plan;
    for (const QueueKind candidate : queue_kinds)
        if (!kind || *kind == candidate) plan.candidates.push_back(shaped_queue(candidate, line));
    plan.text =
        fmt::format("{} at {} bit/s, MTU {}", kind ? queue_kind_name(*kind) : "best", line.bits_per_second, line.mtu);
    plan.why =
        fmt::format("shapes to {}, so that packets queue here, where marks count", rate_text(line.bits_per_second));
    return plan;
}

QueuePlan line_plan(const ShaperSpec& shaper, uint32_t mtu, bool incoming, std::optional<QueueKind> kind) {
    const ShapedLine line{.bits_per_second = shaper.bits_per_second, .mtu = mtu, .incoming = incoming};
    return shaper.kind == ShaperSpec::Kind::AutoRate ? following_plan(line, shaper.bounds, kind)
                                                     : shaped_plan(line, kind);
}

QueuePlan uplink_plan(const FoundQueue& found, const QueueSpec& spec, uint32_t mtu, bool wifi) {
    QueuePlan plan = plan_for(found, spec, mtu);
    if (!wifi) return plan;
    plan.wifi = true;
    for (QueueTree& tree : plan.candidates)
        tree = on_wifi(std::move(tree));
    if (!plan.candidates.empty())
        plan.text += " on Wi-Fi";
    else if (found.kind == "pfifo_fast")
        plan.why += pfifo_fast_on_wifi;
    return plan;
}

} // namespace kudo
