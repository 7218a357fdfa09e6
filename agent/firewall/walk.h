// SPDX-License-Identifier: MIT
// A packet's way through the hooks: every place where it can be dropped.
// Invariant: what cannot be decided is followed both ways; a place that is not listed cannot have dropped it.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "agent/firewall/dropping_rule.h"
#include "agent/firewall/value.h"

namespace kudo::firewall {

struct PossibleDrop {
    const Chain* base = nullptr;
    const Chain* chain = nullptr;
    const Rule* rule = nullptr; // null: the policy of `base`
    DropPoint::Kind kind = DropPoint::Kind::Rule;
    std::optional<uint64_t> counter{};
    std::vector<std::string> undecided{};
};

// How many of the packets in question a rule's counter can have counted.
struct Counted {
    std::optional<uint64_t> packets{}; // nothing: not known
    bool in_time = false;              // it counted all the time while they were dropped: none is none
};
using CounterBound = std::function<Counted(const Chain&, const Rule&, uint64_t packets)>;

struct Drops {
    std::vector<PossibleDrop> possible; // in the order of the packet's way, each once
    bool too_many_rules = false;        // the walk was given up: it can be anything
    bool may_pass = false;              // a packet that fits the facts can come to the end of its way
};
Drops find_possible_drops(const Model& model, const PacketFacts& facts, const CounterBound& bound);

} // namespace kudo::firewall
