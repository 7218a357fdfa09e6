// SPDX-License-Identifier: MIT
// The nftables sets in table inet kudo_agent that an administrator's own rules refer to (docs/firewall.md): kept equal
// to what packets are judged by.
// Invariant: of nftables nothing is ever changed but these sets and, where it is empty, their table; every change
// is one transaction.
#pragma once

#include <string>
#include <vector>

#include "agent/firewall_sets/elements.h"
#include "maps/base/result.h"

namespace kudo {

// How a reconcile names them: see Retries.
inline constexpr const char* firewall_object = "firewall sets";

// What is there now, in this thread's network namespace.
struct FirewallSetsThere {
    bool table = false;
    bool others = false; // the table has something besides these sets: chains, other sets
    std::array<bool, firewall_set_names.size()> present{};
    std::array<bool, firewall_set_names.size()> foreign{}; // of that name, but of another type: not ours to change
    FirewallSets elements;
    // Rules that refer to each set: "inet kudo_agent output handle 5".
    std::array<std::vector<std::string>, firewall_set_names.size()> rules;

    [[nodiscard]] bool any() const;
};
Result<FirewallSetsThere> read_firewall_sets();

// Why the sets are not these; empty: they are.
std::string firewall_difference(const FirewallSetsThere& there, const FirewallSets& desired);

// Makes the sets hold at least `desired`, with what they had. True: something was changed.
Result<bool> widen_firewall_sets(const FirewallSets& desired);
// Makes them equal to it.
Result<bool> ensure_firewall_sets(const FirewallSets& desired);

struct RemovedFirewallSets {
    bool any = false;
    // Sets that nftables does not delete because rules refer to them: they are empty now. "nftables' set inet
    // kudo_agent kudo4 is empty and stays: used by inet kudo_agent output handle 5"
    std::vector<std::string> kept;
};
// Removes the sets, and the table if nothing else is in it.
Result<RemovedFirewallSets> remove_firewall_sets();

} // namespace kudo
