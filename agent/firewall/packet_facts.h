// SPDX-License-Identifier: MIT
// What is known of a packet that a firewall dropped.
// Invariant: what is not known is not there, and never taken for zero.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "maps/net/prefix.h"

namespace kudo {

// Which hooks of netfilter a packet passes: `In` ingress, prerouting, input; `Out` output, postrouting, egress;
// `Forwarded` ingress, prerouting, forward, postrouting, egress.
enum class PacketPath { In, Out, Forwarded };

// enum ip_conntrack_info and `ct state`, as bits: which states are possible.
enum CtState : uint8_t {
    CtInvalid = 1,
    CtEstablished = 2,
    CtRelated = 4,
    CtNew = 8,
    CtUntracked = 16,
};

// A packet, or all packets of a flow in one direction: then only what all of them have in common is given.
// Addresses and ports are those on the line; ports, lengths and marks in host order.
struct PacketFacts {
    PacketPath path = PacketPath::In;
    uint8_t protocol = 0; // IPPROTO_UDP, IPPROTO_TCP, ...
    Address source;       // both of one family, which is the packet's
    Address destination;
    std::optional<uint16_t> source_port{};
    std::optional<uint16_t> destination_port{};
    std::optional<std::string> input{};   // interface names
    std::optional<std::string> output{};  //
    std::optional<uint32_t> length{};     // bytes of the skb, from the IP header on: a GSO packet's own
    std::optional<uint32_t> mark{};       // skb->mark as the packet entered the first of the hooks
    std::optional<uint8_t> tcp_flags{};   // RFC 9293: FIN 1, SYN 2, RST 4, PSH 8, ACK 16, URG 32, ECE 64, CWR 128
    std::optional<uint8_t> dscp{};        // 0 to 63, as the packet entered the first of the hooks
    std::optional<uint8_t> packet_type{}; // linux/if_packet.h: PACKET_HOST 0, PACKET_BROADCAST 1, ...
    std::optional<uint32_t> uid{}, gid{}; // of the socket that sent it (meta skuid, skgid)
    std::optional<uint8_t> ct_states{};   // CtState bits: those that are possible
    std::optional<bool> translated{};     // does conntrack translate its addresses or ports (NAT)?
};

} // namespace kudo
