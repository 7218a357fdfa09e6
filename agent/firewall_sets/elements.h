// SPDX-License-Identifier: MIT
// What the nftables sets of `firewall sync` hold, and how one content becomes another.
// Invariant: pure functions. Contents are compared by the addresses that they cover, not by how those are cut.
#pragma once

#include <array>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "maps/compile/policy.h"
#include "maps/net/prefix.h"

namespace kudo {

// The sets, in the order of their contents:
//   kudo4, kudo6                     ipv4_addr, ipv6_addr: every range of KUDO's
//   kudo4_services, kudo6_services   ipv4_addr . inet_proto . inet_service: ranges with protocol and port
//   kudo4_tcp, kudo4_udp, ...        ipv4_addr . inet_service: those of one protocol. nftables 1.0.6 makes of
//                                    `meta l4proto` in a key what Linux 6.12.117 refuses: see docs/firewall.md
inline constexpr std::array<const char*, 8> firewall_set_names{
    "kudo4", "kudo6", "kudo4_services", "kudo6_services", "kudo4_tcp", "kudo4_udp", "kudo6_tcp", "kudo6_udp"};
inline constexpr const char* firewall_table = "kudo_agent"; // of family inet

// The addresses from `first` to `last`, both of one family. `protocol` (IPPROTO_TCP, IPPROTO_UDP) and `port` (host
// order, KUDO's side) are 0 in the sets that have none in their keys.
struct SetElement {
    uint8_t protocol = 0;
    uint16_t port = 0;
    Address first, last;

    auto operator<=>(const SetElement&) const = default;
    [[nodiscard]] std::string text() const; // as nft(8) reads it: "3.7.161.0-3.7.161.63 . 6 . 443"
};
using SetElements = std::vector<SetElement>;
using FirewallSets = std::array<SetElements, firewall_set_names.size()>; // by set

// All that a policy allows as KUDO's, early, retiring and NAT64 ranges included.
FirewallSets firewall_sets_of(const CompiledPolicy& policy);

// Sorted; what overlaps or touches is one.
SetElements merged(SetElements elements);

// What has to go from a set and what into it. nftables refuses elements that overlap; these never do.
struct SetEdit {
    SetElements remove, add;
    [[nodiscard]] bool empty() const { return remove.empty() && add.empty(); }
};
// So that the set also covers all of `desired`, which is merged(): nothing goes.
SetEdit widening(const SetElements& present, const SetElements& desired);
// So that it covers exactly `desired`, which is merged(). An element of which a part stays is replaced by that part;
// all others that stay are not touched.
SetEdit correction(const SetElements& present, const SetElements& desired);

} // namespace kudo
