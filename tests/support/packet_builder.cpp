// SPDX-License-Identifier: MIT
// Writes the layers of a packet from the innermost to the outermost. Used through packet_builder.h.
// Invariant: a layer's bytes depend on itself, on what it carries and, for pseudo headers, on the IP header around it.
#include "tests/support/packet_builder.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <stdexcept>

#include <arpa/inet.h>

namespace kudo::test {
namespace {

__be16 wire16(std::size_t value) {
    return kudo_swap16(static_cast<uint16_t>(value));
}

template <typename Header> void prepend(Bytes& bytes, const Header& header) {
    std::array<uint8_t, sizeof header> raw;
    std::memcpy(raw.data(), &header, sizeof header);
    bytes.insert(bytes.begin(), raw.begin(), raw.end());
}

Bytes padded(Bytes bytes, std::size_t unit) {
    bytes.resize((bytes.size() + unit - 1) / unit * unit);
    return bytes;
}

// RFC 1071: the sum, its carries added in.
uint32_t ones_sum(std::span<const uint8_t> bytes, uint32_t sum = 0) {
    for (std::size_t i = 0; i < bytes.size(); ++i) {
        sum += i % 2 == 0 ? static_cast<uint32_t>(bytes[i]) << 8 : bytes[i];
        sum = (sum & 0xffff) + (sum >> 16);
    }
    return sum;
}

template <typename T> T address(int family, const std::string& text) {
    T result{};
    if (inet_pton(family, text.c_str(), &result) != 1) throw std::invalid_argument("not an address: " + text);
    return result;
}

// What the layers around a layer mean for it.
struct Around {
    const Layer* next = nullptr;  // the layer that it carries
    const Layer* below = nullptr; // the nearest IP header outside of it
};

uint32_t pseudo_header_sum(const Layer* ip, std::size_t length, uint8_t protocol) {
    uint32_t sum = static_cast<uint32_t>(length & 0xffff) + static_cast<uint32_t>(length >> 16) + protocol;
    const auto add = [&sum](const auto& value) {
        std::array<uint8_t, sizeof value> raw;
        std::memcpy(raw.data(), &value, sizeof value);
        sum = ones_sum(raw, sum);
    };
    if (!ip) return sum;
    if (const auto* v4 = std::get_if<IPv4>(ip)) {
        add(address<in_addr>(AF_INET, v4->source));
        add(address<in_addr>(AF_INET, v4->destination));
    } else if (const auto* v6 = std::get_if<IPv6>(ip)) {
        add(address<in6_addr>(AF_INET6, v6->source));
        add(address<in6_addr>(AF_INET6, v6->destination));
    }
    return sum;
}

__be16 transport_checksum(const Bytes& segment, const Layer* ip, uint8_t protocol) {
    const uint32_t sum = ones_sum(segment, pseudo_header_sum(ip, segment.size(), protocol));
    return wire16(~((sum & 0xffff) + (sum >> 16)) & 0xffff);
}

uint16_t ether_type(const Layer* next) {
    if (!next) return 0;
    if (const auto* vlan = std::get_if<Vlan>(next)) return vlan->tag;
    if (std::holds_alternative<Pppoe>(*next)) return KUDO_ETHERTYPE_PPPOE_SESSION;
    if (std::holds_alternative<IPv4>(*next)) return KUDO_ETHERTYPE_IPV4;
    if (std::holds_alternative<IPv6>(*next)) return KUDO_ETHERTYPE_IPV6;
    return 0x88b5; // IEEE 802: for local experiments
}

uint16_t ppp_protocol(const Layer* next) {
    if (next && std::holds_alternative<IPv4>(*next)) return KUDO_PPP_IPV4;
    if (next && std::holds_alternative<IPv6>(*next)) return KUDO_PPP_IPV6;
    return 0xc021; // LCP
}

uint8_t protocol_number(const Layer* next, const Layer* ip) {
    if (!next) return 59; // no next header
    if (const auto* extension = std::get_if<Extension>(next)) return extension->protocol;
    if (const auto* raw = std::get_if<Raw>(next)) return raw->protocol;
    if (std::holds_alternative<Fragment>(*next)) return KUDO_PROTOCOL_FRAGMENT;
    if (std::holds_alternative<Tcp>(*next)) return KUDO_PROTOCOL_TCP;
    if (std::holds_alternative<Udp>(*next)) return KUDO_PROTOCOL_UDP;
    if (std::holds_alternative<IPv4>(*next)) return 4;
    if (std::holds_alternative<IPv6>(*next)) return 41;
    return ip && std::holds_alternative<IPv6>(*ip) ? KUDO_PROTOCOL_ICMPV6 : KUDO_PROTOCOL_ICMP;
}

void write(const Ethernet& layer, const Around& around, Bytes& bytes) {
    prepend(bytes, kudo_ethernet_header{.destination = {2, 0, 0, 0, 0, 2},
                                        .source = {2, 0, 0, 0, 0, 1},
                                        .type = wire16(layer.type.value_or(ether_type(around.next)))});
}

void write(const Vlan& layer, const Around& around, Bytes& bytes) {
    prepend(bytes,
            kudo_vlan_tag{.control = wire16(layer.id), .type = wire16(layer.type.value_or(ether_type(around.next)))});
}

void write(const Pppoe& layer, const Around& around, Bytes& bytes) {
    prepend(bytes, kudo_pppoe_header{.version_and_type = layer.version_and_type,
                                     .code = layer.code,
                                     .session = wire16(layer.session),
                                     .length = wire16(layer.length.value_or(static_cast<uint16_t>(bytes.size() + 2))),
                                     .protocol = wire16(layer.protocol.value_or(ppp_protocol(around.next)))});
}

void write(const IPv4& layer, const Around& around, Bytes& bytes) {
    const Bytes options = padded(layer.options, 4);
    const std::size_t size = sizeof(kudo_ipv4_header) + options.size();
    const uint8_t ihl = layer.ihl.value_or(static_cast<uint8_t>(size / 4));
    const std::size_t flags = layer.more_fragments ? KUDO_IPV4_MORE_FRAGMENTS : 0;
    kudo_ipv4_header header{.version_and_ihl = static_cast<uint8_t>(layer.version << 4 | (ihl & 15)),
                            .dsfield = layer.dsfield,
                            .total_length =
                                wire16(layer.total_length.value_or(static_cast<uint16_t>(size + bytes.size()))),
                            .id = wire16(layer.id),
                            .fragment = wire16(flags | (layer.fragment_offset & KUDO_IPV4_FRAGMENT_OFFSET)),
                            .ttl = 64,
                            .protocol = layer.protocol.value_or(protocol_number(around.next, nullptr)),
                            .checksum = 0,
                            .source = address<in_addr>(AF_INET, layer.source).s_addr,
                            .destination = address<in_addr>(AF_INET, layer.destination).s_addr};
    Bytes whole = options;
    prepend(whole, header);
    header.checksum = wire16(layer.checksum.value_or(internet_checksum(whole)));
    bytes.insert(bytes.begin(), options.begin(), options.end());
    prepend(bytes, header);
}

void write(const IPv6& layer, const Around& around, Bytes& bytes) {
    const uint32_t first = static_cast<uint32_t>(layer.version) << 28 | static_cast<uint32_t>(layer.dsfield) << 20 |
                           (layer.flow_label & 0xfffff);
    kudo_ipv6_header header{.version_class_flow = kudo_swap32(first),
                            .payload_length =
                                wire16(layer.payload_length.value_or(static_cast<uint16_t>(bytes.size()))),
                            .next_header = layer.next_header.value_or(protocol_number(around.next, around.below)),
                            .hop_limit = layer.hop_limit,
                            .source = {},
                            .destination = {}};
    const auto source = address<in6_addr>(AF_INET6, layer.source);
    const auto destination = address<in6_addr>(AF_INET6, layer.destination);
    std::memcpy(header.source, &source, sizeof source);
    std::memcpy(header.destination, &destination, sizeof destination);
    prepend(bytes, header);
}

void write(const Extension& layer, const Around& around, Bytes& bytes) {
    const unsigned length = layer.protocol == KUDO_PROTOCOL_AH ? layer.size / 4 - 2 : layer.size / 8 - 1;
    Bytes header(layer.size);
    header[0] = layer.next_header.value_or(protocol_number(around.next, around.below));
    header[1] = layer.length.value_or(static_cast<uint8_t>(length));
    if (layer.protocol == KUDO_PROTOCOL_HOP_BY_HOP || layer.protocol == KUDO_PROTOCOL_DESTINATION_OPTIONS) {
        header[2] = 1; // PadN over the rest, as far as one can reach
        header[3] = static_cast<uint8_t>(std::min(layer.size - 4, 255u));
    }
    bytes.insert(bytes.begin(), header.begin(), header.end());
}

void write(const Fragment& layer, const Around& around, Bytes& bytes) {
    struct {
        uint8_t next_header, reserved;
        __be16 offset_and_more;
        __be32 id;
    } const header{layer.next_header.value_or(protocol_number(around.next, around.below)), 0,
                   wire16(static_cast<std::size_t>(layer.offset) << 3 | (layer.more_fragments ? 1u : 0u)), 0x1234};
    prepend(bytes, header);
}

void write(const Tcp& layer, const Around& around, Bytes& bytes) {
    const Bytes options = padded(layer.options, 4);
    const auto words = static_cast<uint8_t>((sizeof(kudo_tcp_header) + options.size()) / 4);
    kudo_tcp_header header{.source = wire16(layer.source_port),
                           .destination = wire16(layer.destination_port),
                           .sequence = kudo_swap32(layer.sequence),
                           .acknowledgement = kudo_swap32(2),
                           .data_offset = static_cast<uint8_t>(layer.data_offset.value_or(words) << 4),
                           .flags = layer.flags,
                           .window = wire16(1024),
                           .checksum = 0,
                           .urgent = 0};
    bytes.insert(bytes.begin(), options.begin(), options.end());
    prepend(bytes, header);
    header.checksum =
        layer.checksum ? wire16(*layer.checksum) : transport_checksum(bytes, around.below, KUDO_PROTOCOL_TCP);
    std::memcpy(bytes.data(), &header, sizeof header);
}

void write(const Udp& layer, const Around& around, Bytes& bytes) {
    const auto size = static_cast<uint16_t>(bytes.size() + sizeof(kudo_udp_header));
    kudo_udp_header header{.source = wire16(layer.source_port),
                           .destination = wire16(layer.destination_port),
                           .length = wire16(layer.length.value_or(size)),
                           .checksum = 0};
    prepend(bytes, header);
    if (layer.checksum) {
        header.checksum = wire16(*layer.checksum);
    } else {
        const __be16 checksum = transport_checksum(bytes, around.below, KUDO_PROTOCOL_UDP);
        header.checksum = checksum == 0 ? static_cast<__be16>(0xffff) : checksum; // RFC 768: 0 means none
    }
    std::memcpy(bytes.data(), &header, sizeof header);
}

void write(const Icmp& layer, const Around& around, Bytes& bytes) {
    const std::array<uint8_t, 8> header{layer.type, layer.code, 0, 0, 0, 1, 0, 1};
    bytes.insert(bytes.begin(), header.begin(), header.end());
    const bool behind_ipv6 = around.below && std::holds_alternative<IPv6>(*around.below);
    const __be16 checksum =
        behind_ipv6 ? transport_checksum(bytes, around.below, KUDO_PROTOCOL_ICMPV6) : wire16(internet_checksum(bytes));
    std::memcpy(bytes.data() + 2, &checksum, sizeof checksum);
}

void write(const Raw& layer, const Around&, Bytes& bytes) {
    bytes.insert(bytes.begin(), layer.bytes.begin(), layer.bytes.end());
}

} // namespace

Raw Payload(std::size_t size) {
    Raw result;
    for (std::size_t i = 0; i < size; ++i)
        result.bytes.push_back(static_cast<uint8_t>(i * 7 + 1));
    return result;
}

void Packet::add(Layer layer) {
    layers_.push_back(std::move(layer));
}

Bytes Packet::bytes() const {
    Bytes result;
    for (std::size_t i = layers_.size(); i-- > 0;) {
        Around around{.next = i + 1 < layers_.size() ? &layers_[i + 1] : nullptr, .below = nullptr};
        for (std::size_t j = i + 1; j-- > 0 && !around.below;) {
            if (std::holds_alternative<IPv4>(layers_[j]) || std::holds_alternative<IPv6>(layers_[j]))
                around.below = &layers_[j];
        }
        std::visit([&](const auto& layer) { write(layer, around, result); }, layers_[i]);
    }
    return result;
}

uint16_t internet_checksum(std::span<const uint8_t> bytes) {
    return static_cast<uint16_t>(~ones_sum(bytes));
}

std::string hex_dump(std::span<const uint8_t> bytes) {
    static constexpr char digits[] = "0123456789abcdef";
    std::string text;
    for (const uint8_t byte : bytes) {
        if (!text.empty()) text += ' ';
        text += digits[byte >> 4];
        text += digits[byte & 15];
    }
    return text;
}

} // namespace kudo::test
