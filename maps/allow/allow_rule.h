// SPDX-License-Identifier: MIT
// Allow rules: what mode enforce lets through besides KUDO's services, written by the administrator or added as a
// lifeline. What a rule means: docs/enforce.md.
// Invariant: a rule that was parsed has at least one prefix, a kind, and FROM or TO or both.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "bpf/abi.h"
#include "maps/base/result.h"
#include "maps/net/prefix.h"

namespace kudo {

struct AllowRule {
    kudo_allow rule{};           // all but KUDO_ALLOW_LIFELINE, which follows from `lifeline`
    std::vector<Prefix> remotes; // sorted, distinct; "any" is 0.0.0.0/0 and ::/0
    std::string text;            // as it was written
    std::string lifeline;        // its name; empty: a rule of the administrator
    bool operator==(const AllowRule& other) const { return text == other.text && lifeline == other.lifeline; }
};

// 0.0.0.0/0 and ::/0
const std::vector<Prefix>& any_prefixes();

// PROTOCOL[/PORT[-PORT]] [from REMOTE | to REMOTE]
//   PROTOCOL  tcp, udp, icmp (echo, both families), esp, ah, gre, ipip, ip6 (41), proto/N (1 to 255), any
//   PORT      1 to 65535; of tcp and udp only; without: all ports
//   REMOTE    a prefix, an address, "any", or several of them separated by commas
// Of tcp and udp "from" or "to" must be there; of others neither means both. Errors (BadInput) quote the rule, say
// which part is wrong and what was expected.
Result<AllowRule> parse_allow_rule(std::string_view text);

} // namespace kudo
