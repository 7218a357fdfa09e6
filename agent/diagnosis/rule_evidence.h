// SPDX-License-Identifier: MIT
// What speaks for and against a firewall's rule having dropped a packet, beyond the rules themselves, and how it is
// told. Invariant: pure, but for the kernel's version.
#pragma once

#include <string>

#include "agent/drops/drop.h"
#include "agent/firewall/dropping_rule.h"

namespace kudo {

std::string point_text(const DropPoint& point); // "inet filter input handle 5: udp dport 3478 drop"

// What netfilter's hooks drop is freed by their common caller, whichever it was, but for nftables from Linux 6.7 on,
// which frees in nft_do_chain(). Is this that place, or not known?
bool is_shared_place(const Drop& drop);
// And does nftables free elsewhere in this kernel?
bool frees_elsewhere(const Drop& drop);

// Has the rule counted as many as were dropped? Without a counter nothing says that it has not; a GSO packet counts
// once.
bool counts_enough(const DropPoint& point, const Drop& drop);

// How advice of an accept rule ends: with the one for this packet. KUDO's ranges are many.
std::string accept_words(const DropPoint& point, const FlowOfDrop& flow, kudo_direction direction);

} // namespace kudo
