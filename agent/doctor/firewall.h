// SPDX-License-Identifier: MIT
// Would this host's own firewall (nftables, iptables) drop KUDO's packets? Its rules are evaluated, nothing is sent.
// Invariant: what a rule compares that is not known beforehand (a rate, a mark, an extension) is "may drop", a warning.
#pragma once

#include "agent/doctor/check.h"
#include "agent/doctor/examination.h"
#include "agent/doctor/subject.h"
#include "agent/firewall/packet_facts.h"
#include "agent/firewall/ruleset.h"

namespace kudo {

enum class FirewallSide { Out, In };

// Every chosen range and port that has a route: outgoing, a packet that opens a flow and a later one; incoming, an
// answer. Pure.
CheckReport judge_ruleset(const Ruleset& ruleset, const Subject& subject, FirewallSide side);

// The same of the ruleset that is there now, which the first of them reads: in a process of its own, which is ended
// after 6 s, since there may be 100,000 rules.
CheckReport check_firewall_out(Examination& examination);
CheckReport check_firewall_in(Examination& examination);

} // namespace kudo
