// SPDX-License-Identifier: MIT
// The rows of advice.h: enumerators of Linux 5.17 to 7.0 (include/net/dropreason-core.h and its predecessors), and what
// places stand for that free no packet.
// Invariant: sorted by name, each once.
#pragma once

#include <span>
#include <string_view>

#include "agent/drops/layer.h"

namespace kudo {

struct ReasonAdvice {
    std::string_view reason; // without SKB_DROP_REASON_; for a subsystem's its prefix, "RX_DROP_"
    DropLayer layer;
    // false: nobody waits for the packet any more. It was a copy for a capture, its content had arrived already, the
    // application has closed its socket, or it was addressed to another host.
    bool is_loss;
    std::string_view advice;  // one sentence
    std::string_view command; // one command that looks and changes nothing
};

// Of all reasons, by name. Subsystems' (mac80211, openvswitch, qdiscs) by their prefix.
std::span<const ReasonAdvice> reason_advice();

} // namespace kudo
