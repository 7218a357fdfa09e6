// SPDX-License-Identifier: MIT
// What a host firewall must let through for KUDO, by the range map in effect: the data behind every format of `firewall
// show`.
// Invariant: the same ranges and ports as the policy that packets are judged by, retiring and early ones included.
#pragma once

#include <string>
#include <vector>

#include "cli/ranges/current_rules.h"
#include "maps/base/result.h"
#include "maps/net/prefix.h"

namespace kudo {

// One service and protocol. Its answers come in from the same ranges and ports.
struct FirewallRule {
    std::string service;            // "media"
    std::string state;              // "", "early" (of a staged map) or "retiring" (withdrawn, still honoured)
    std::string protocol;           // "tcp" or "udp"
    std::vector<uint16_t> ports;    // on KUDO's side; sorted
    std::vector<Prefix> ipv4, ipv6; // sorted, none inside another; ipv6 with those behind a NAT64
    // "KUDO media", "KUDO media (retiring)"
    [[nodiscard]] std::string name() const;
};
struct FirewallRules {
    uint64_t serial = 0;
    std::string source; // of the map
    std::vector<std::string> regions;
    bool teams = false;
    std::vector<FirewallRule> rules;
    std::vector<std::string> notes; // whole sentences
};

// `regions` and `teams`: instead of what is enabled; empty and false: what is enabled. NotEnabled where that is
// nothing, NotPermitted where it may not be read.
Result<FirewallRules> firewall_rules(const Instance& instance, const std::vector<std::string>& regions, bool teams);

} // namespace kudo
