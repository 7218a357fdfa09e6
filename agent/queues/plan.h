// SPDX-License-Identifier: MIT
// Which queue a wish comes to, given what stands there without us.
// Invariant: pure; what is not certain to serve other traffic as well as before is not chosen unasked.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "agent/queues/saved_qdisc.h"
#include "agent/queues/spec.h"
#include "agent/queues/tree.h"

namespace kudo {

struct QueuePlan {
    std::vector<QueueTree> candidates; // best first; empty: leave what stands there
    std::string text;                  // what SavedQdisc.plan says then
    std::string why;                   // for people
    // The same where this one of the candidates stands there.
    [[nodiscard]] std::string why_with(const QueueTree& tree) const;
};

// The whole line in one direction. `kind`: nothing: whichever the kernel has.
QueuePlan shaped_plan(const ShapedLine& line, std::optional<QueueKind> kind);
// `found`: what stands there without us.
QueuePlan uplink_plan(const FoundQueue& found, const QueueSpec& wish, uint32_t mtu);
// Why there is no queue for incoming packets where no rate is given.
std::string downlink_unshaped(const ShaperSpec& wish);

} // namespace kudo
