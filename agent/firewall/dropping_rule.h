// SPDX-License-Identifier: MIT
// Which rule or chain policy drops a packet: the ruleset evaluated for what is known of the packet, in three-valued
// logic (yes, no, unknown).
// Invariant: one name alone means that nothing else in the ruleset can have dropped it; what cannot be decided leads to
// several candidates, never to a wrong one.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "agent/firewall/packet_facts.h"
#include "agent/firewall/ruleset.h"

namespace kudo {

// A place in the ruleset that can drop.
struct DropPoint {
    enum class Kind {
        Rule,    // drop
        Reject,  // reject: dropped, and the sender is told
        Policy,  // nothing in the chain accepted it: "policy drop"
        Queue,   // queue: no program listens, or the program that does dropped it
        Nat,     // nat, masquerade, redirect: no address or port left, or synproxy
        Unknown, // a statement that this reader does not know (xt of iptables-nft), which may drop
    };
    Kind kind = Kind::Rule;
    bool legacy = false;  // iptables-legacy; else nftables
    std::string family{}; // of the table: "ip", "ip6", "inet", "netdev"; of iptables-legacy "ip" or "ip6"
    std::string table{};
    std::string chain{};
    uint64_t handle = 0;   // of the rule, `nft -a`; 0: a policy. iptables-legacy: its number in the chain, from 1
    std::string text{};    // the rule as nft prints it, without handle; of a policy "policy drop"
    std::string comment{}; // the rule's own
    std::string hook{};    // of the base chain that led here: "input"
    int priority = 0;      // of that base chain
    std::optional<uint64_t> counter{};    // packets (skbs: a GSO packet is one) that its own counter has
    std::optional<uint64_t> counted{};    // of them since the earlier reading
    std::vector<std::string> undecided{}; // conditions on the way there that are not known for this packet: "ct state"
};

// "inet filter input handle 5", "inet filter input policy drop", "iptables-legacy ip filter INPUT rule 3"
std::string name_of(const DropPoint& point);

struct RuleVerdict {
    enum class Certainty {
        Certain,    // `points` has the one
        Candidates, // `points` has all that it can be, in the order in which the packet meets them; two or more
        None,       // no rule or policy of this ruleset drops it: conntrack, another hook, or a rule that is gone
    };
    Certainty certainty = Certainty::None;
    std::vector<DropPoint> points{};
    std::string why{}; // one sentence: how it is known, or why not
};

// What was seen of the drops, by which counters exclude rules. `before` must have been read before the first of these
// drops, and the ruleset that is asked after the last: then a counter that did not grow by so many is not of the only
// rule.
struct DropEvidence {
    uint64_t drops = 0;              // of these packets, as skbs; since `before` if there is one; 0: not counted
    bool counters = true;            // false: rules may have been loaded again since, which sets counters to zero: they
                                     // exclude nothing
    const Ruleset* before = nullptr; // an earlier reading: a counter that has not grown since cannot have dropped
};

// Sets are taken as they are in the reading: an element that has timed out since the drop is not there any more. A rule
// without a counter, or with one that was set back, stays possible.
RuleVerdict find_dropping_rule(const Ruleset& ruleset, const PacketFacts& facts, const DropEvidence& evidence = {});

// What the ruleset would do with a packet that has not come yet.
struct RuleForecast {
    enum class Kind {
        Passes,  // nothing can drop it
        MayDrop, // by what is not known of it: a rate, a mark, a program behind a queue
        Drops,   // nothing lets it through
        Unknown, // too many rules to follow
    };
    Kind kind = Kind::Unknown;
    std::vector<DropPoint> points{}; // that can drop it, in the order in which it meets them; NAT without room is none
};
RuleForecast forecast(const Ruleset& ruleset, const PacketFacts& facts);

} // namespace kudo
