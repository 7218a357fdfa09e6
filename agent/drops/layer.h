// SPDX-License-Identifier: MIT
// In which layer of the kernel a packet was dropped: from the reason's name, and where that says too little (before
// Linux 5.17 there is none), from the function that freed it.
// Invariant: a pure function of the two.
#pragma once

#include <string>
#include <string_view>

namespace kudo {

enum class DropLayer {
    Network,   // checksums, headers, fragments: the packet itself was not right, as from a damaged line
    Xdp,       // an XDP program
    Tc,        // a tc program or filter
    Firewall,  // a netfilter rule or policy
    Conntrack, // connection tracking, its table full for instance
    Route,     // no route, reverse path filter, TTL, MTU
    Neighbour, // ARP and neighbour discovery
    Queue,     // a qdisc, a device's ring or backlog
    Socket,    // the receiving or sending socket, or none there
    Policy,    // IPsec, LSM, cgroup programs
    Other,
};

// "network", "xdp", "tc", "firewall", "conntrack", "route", "neighbour", "queue", "socket", "policy", "other".
std::string_view layer_name(DropLayer layer);

// `reason`: without SKB_DROP_REASON_, "" for none. `function`: the symbol of the place without its offset, "" if not
// known.
DropLayer layer_of(std::string_view reason, std::string_view function);

} // namespace kudo
