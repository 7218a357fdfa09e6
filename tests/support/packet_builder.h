// SPDX-License-Identifier: MIT
// Packets that read like the wire: Ethernet{} / Vlan{.id = 5} / IPv4{.destination = "3.123.12.129"} / Udp{} /
// Payload(100).
// Invariant: lengths, protocol numbers and checksums are valid unless they are given; what is given is taken as it
// is.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "bpf/wire.h"

namespace kudo::test {

using Bytes = std::vector<uint8_t>;

struct Ethernet {
    std::optional<uint16_t> type{}; // of what follows
};

struct Vlan {
    uint16_t id = 1;
    uint16_t tag = KUDO_ETHERTYPE_VLAN; // or KUDO_ETHERTYPE_QINQ, KUDO_ETHERTYPE_QINQ_OLD
    std::optional<uint16_t> type{};
};

struct Pppoe {
    uint8_t version_and_type = 0x11;
    uint8_t code = 0;
    uint16_t session = 1;
    std::optional<uint16_t> length{};
    std::optional<uint16_t> protocol{};
};

struct IPv4 {
    std::string source = "192.0.2.1";
    std::string destination = "192.0.2.2";
    uint8_t dsfield = 0;
    uint8_t version = 4;
    std::optional<uint8_t> ihl{}; // in 4-byte units
    std::optional<uint16_t> total_length{};
    uint16_t id = 0;
    bool more_fragments = false;
    uint16_t fragment_offset = 0; // in 8-byte units
    std::optional<uint8_t> protocol{};
    std::optional<uint16_t> checksum{};
    Bytes options{}; // padded with zeros to 4 bytes
};

struct IPv6 {
    std::string source = "2001:db8::1";
    std::string destination = "2001:db8::2";
    uint8_t dsfield = 0;
    uint32_t flow_label = 0;
    uint8_t version = 6;
    uint8_t hop_limit = 64;
    std::optional<uint16_t> payload_length{};
    std::optional<uint8_t> next_header{};
};

// Hop-by-hop, routing, destination options, AH, mobility, HIP, shim6: all that say their own length.
struct Extension {
    uint8_t protocol = KUDO_PROTOCOL_HOP_BY_HOP; // which one it is
    unsigned size = 8;                           // its true size: a multiple of 8, of 4 for AH
    std::optional<uint8_t> length{};             // the length field
    std::optional<uint8_t> next_header{};
};

// IPv6's fragment header.
struct Fragment {
    uint16_t offset = 0; // in 8-byte units
    bool more_fragments = false;
    std::optional<uint8_t> next_header{};
};

struct Tcp {
    uint16_t source_port = 443;
    uint16_t destination_port = 443;
    uint32_t sequence = 1;
    std::optional<uint8_t> data_offset{}; // in 4-byte units
    uint8_t flags = KUDO_TCP_ACK;
    std::optional<uint16_t> checksum{};
    Bytes options{}; // padded with zeros to 4 bytes
};

struct Udp {
    uint16_t source_port = 3478;
    uint16_t destination_port = 3478;
    std::optional<uint16_t> length{};
    std::optional<uint16_t> checksum{};
};

// ICMP behind IPv4, ICMPv6 behind IPv6.
struct Icmp {
    uint8_t type = 8;
    uint8_t code = 0;
};

struct Raw {
    Bytes bytes{};
    uint8_t protocol = 253; // as which IP protocol it travels (RFC 3692: for experiments)
};

// `size` bytes that are not all the same.
Raw Payload(std::size_t size);

using Layer = std::variant<Ethernet, Vlan, Pppoe, IPv4, IPv6, Extension, Fragment, Tcp, Udp, Icmp, Raw>;

template <typename T>
concept LayerType = requires(Layer layer) {
    std::get_if<T>(&layer);
};

class Packet {
public:
    Packet() = default;
    template <LayerType T> explicit(false) Packet(T layer) { add(std::move(layer)); }

    void add(Layer layer);
    [[nodiscard]] Bytes bytes() const;

private:
    std::vector<Layer> layers_;
};

template <LayerType T> Packet operator/(Packet packet, T layer) {
    packet.add(std::move(layer));
    return packet;
}
template <LayerType A, LayerType B> Packet operator/(A first, B second) {
    return Packet(std::move(first)) / std::move(second);
}

// RFC 1071 over the bytes: 0 for a header or segment whose checksum is valid.
uint16_t internet_checksum(std::span<const uint8_t> bytes);

// "45 00 00 1c ...", for messages of failed tests.
std::string hex_dump(std::span<const uint8_t> bytes);

} // namespace kudo::test
