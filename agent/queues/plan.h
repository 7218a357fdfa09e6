// SPDX-License-Identifier: MIT
// Which qdisc a QueueSpec leads to, given the one that is there without us.
// Invariant: pure; one that is not certain to serve other traffic as well as before is not chosen unless asked for.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "agent/queues/saved_qdisc.h"
#include "agent/queues/spec.h"
#include "agent/queues/tree.h"

namespace kudo {

struct QueuePlan {
    std::vector<QueueTree> candidates; // best first; empty: leave what is there
    std::string text;                  // what SavedQdisc.plan says then
    std::string why;                   // for people
    bool wifi = false;
    std::optional<RateBounds> follows{}; // the rate may be any of these
    uint32_t mtu = 0;                    // of the line, where it follows
    // The same where this candidate was built: with what it does worse than the others.
    [[nodiscard]] std::string why_with(const QueueTree& tree) const;
};

// For the whole line in one direction. `kind`: nothing: the best that the kernel has.
QueuePlan shaped_plan(const ShapedLine& line, std::optional<QueueKind> kind);
// The same for what was asked for: a rate, or one that follows the line.
QueuePlan line_plan(const ShaperSpec& shaper, uint32_t mtu, bool incoming, std::optional<QueueKind> kind);
// `found`: what is there without us. `wifi`: is_wireless().
QueuePlan uplink_plan(const FoundQueue& found, const QueueSpec& spec, uint32_t mtu, bool wifi = false);

} // namespace kudo
