// SPDX-License-Identifier: MIT
// A seeded source of odd packets. Used through packet_generator.h by the kernel tests.
// Invariant: no frame is longer than BPF_PROG_TEST_RUN takes, which is a page less head and tail room.
#include "tests/support/packet_generator.h"

#include <algorithm>
#include <cstdlib>

namespace kudo::test {
namespace {

constexpr std::size_t max_frame = 3300;
constexpr std::size_t min_frame = 15; // sched_cls: an Ethernet header and something behind it

// The address one above or below; wraps around.
Address neighbour(Address address, int step) {
    for (std::size_t i = address.bits() / 8; i-- > 0;) {
        address.bytes[i] = static_cast<uint8_t>(address.bytes[i] + step);
        if (address.bytes[i] != (step > 0 ? 0 : 255)) break;
    }
    return address;
}

Address last_of(const Prefix& prefix) {
    Address address = prefix.address;
    for (unsigned bit = prefix.length; bit < address.bits(); ++bit)
        address.bytes[bit / 8] = static_cast<uint8_t>(address.bytes[bit / 8] | 0x80 >> bit % 8);
    return address;
}

Address random_address(std::mt19937_64& random, Family family) {
    Address address;
    address.family = family;
    std::generate_n(address.bytes.begin(), address.bits() / 8, [&] { return static_cast<uint8_t>(random()); });
    return address;
}

Address random_inside(std::mt19937_64& random, const Prefix& prefix) {
    Address address = random_address(random, prefix.address.family);
    for (unsigned bit = 0; bit < prefix.length; ++bit) {
        const auto mask = static_cast<uint8_t>(0x80 >> bit % 8);
        uint8_t& byte = address.bytes[bit / 8];
        byte = static_cast<uint8_t>((byte & ~mask) | (prefix.address.bytes[bit / 8] & mask));
    }
    return address;
}

} // namespace

uint64_t test_seed() {
    if (const char* given = std::getenv("KUDO_TEST_SEED")) return std::strtoull(given, nullptr, 0);
    std::random_device device;
    return static_cast<uint64_t>(device()) << 32 | device();
}

PacketGenerator::PacketGenerator(uint64_t seed, const RangeMap& map, kudo_link_layer link, kudo_direction direction)
    : random_(seed), link_(link), direction_(direction), ports_{0, 1, 53, 65535} {
    const auto list = [&](const Address& address) {
        (address.family == Family::IPv4 ? remotes4_ : remotes6_).push_back(address.text());
    };
    for (const Service& service : map.services) {
        for (const PortRule& rule : service.ports) {
            for (const int step : {0, 0, 0, -1, 1})
                ports_.push_back(static_cast<uint16_t>(rule.port + step));
        }
        for (const Range& range : service.ranges) {
            const Address last = last_of(range.prefix);
            for (const Address& address : {range.prefix.address, last, neighbour(range.prefix.address, -1),
                                           neighbour(last, 1), random_inside(random_, range.prefix),
                                           random_inside(random_, range.prefix), random_inside(random_, range.prefix)})
                list(address);
        }
    }
    for (int i = 0; i < 8; ++i) {
        list(random_address(random_, Family::IPv4));
        list(random_address(random_, Family::IPv6));
    }
}

Bytes PacketGenerator::noise(uint32_t size) {
    Bytes bytes(size);
    std::ranges::generate(bytes, [&] { return static_cast<uint8_t>(random_()); });
    return bytes;
}

uint16_t PacketGenerator::port() {
    return chance(10) ? static_cast<uint16_t>(random_()) : one_of(ports_);
}

void PacketGenerator::add_link(Packet& packet) {
    Ethernet ethernet;
    if (chance(2)) ethernet.type = static_cast<uint16_t>(random_());
    packet.add(ethernet);
    const uint32_t tags = chance(60) ? 0 : chance(60) ? 1 + below(2) : below(7);
    for (uint32_t i = 0; i < tags; ++i) {
        Vlan vlan{.id = static_cast<uint16_t>(below(4096))};
        vlan.tag = one_of(std::vector<uint16_t>{KUDO_ETHERTYPE_VLAN, KUDO_ETHERTYPE_QINQ, KUDO_ETHERTYPE_QINQ_OLD});
        if (chance(1)) vlan.type = static_cast<uint16_t>(random_());
        packet.add(vlan);
    }
    if (!chance(15)) return;
    Pppoe pppoe;
    if (chance(5)) pppoe.version_and_type = static_cast<uint8_t>(random_());
    if (chance(5)) pppoe.code = static_cast<uint8_t>(random_());
    if (chance(5)) pppoe.protocol = static_cast<uint16_t>(random_());
    if (chance(5)) pppoe.length = static_cast<uint16_t>(random_());
    packet.add(pppoe);
}

void PacketGenerator::add_ipv4(Packet& packet, bool is_gso) {
    IPv4 ip{.dsfield = static_cast<uint8_t>(random_()), .id = static_cast<uint16_t>(random_())};
    const std::string local = chance(70) ? "192.0.2.10" : one_of(remotes4_);
    const bool swapped = chance(5);
    const bool remote_is_source = (direction_ == KUDO_INGRESS) != swapped;
    ip.source = remote_is_source ? one_of(remotes4_) : local;
    ip.destination = remote_is_source ? local : one_of(remotes4_);
    if (chance(20)) ip.options = noise(4 * below(11));
    if (chance(4)) ip.ihl = static_cast<uint8_t>(below(16));
    if (chance(2)) ip.version = static_cast<uint8_t>(below(16));
    if (chance(5)) ip.total_length = static_cast<uint16_t>(chance(50) ? below(80) : random_());
    if (is_gso && chance(20)) ip.total_length = 0;
    if (chance(3)) ip.checksum = static_cast<uint16_t>(chance(50) ? 0xffff : random_());
    ip.more_fragments = chance(12);
    if (chance(10)) ip.fragment_offset = static_cast<uint16_t>(below(8192));
    packet.add(ip);
}

void PacketGenerator::add_extension(Packet& packet) {
    if (chance(15)) {
        Fragment fragment{.more_fragments = chance(50)};
        if (chance(30)) fragment.offset = static_cast<uint16_t>(below(8192));
        packet.add(fragment);
        return;
    }
    Extension extension;
    extension.protocol = one_of(std::vector<uint8_t>{KUDO_PROTOCOL_HOP_BY_HOP, KUDO_PROTOCOL_ROUTING, KUDO_PROTOCOL_AH,
                                                     KUDO_PROTOCOL_DESTINATION_OPTIONS, KUDO_PROTOCOL_MOBILITY,
                                                     KUDO_PROTOCOL_HIP, KUDO_PROTOCOL_SHIM6});
    const uint32_t units = chance(5) ? below(128) : below(6);
    extension.size = extension.protocol == KUDO_PROTOCOL_AH ? 12 + 4 * units : 8 + 8 * units;
    if (chance(4)) extension.length = static_cast<uint8_t>(random_());
    if (chance(2)) extension.next_header = static_cast<uint8_t>(random_());
    packet.add(extension);
}

void PacketGenerator::add_ipv6(Packet& packet, bool is_gso) {
    IPv6 ip{.dsfield = static_cast<uint8_t>(random_()), .flow_label = static_cast<uint32_t>(random_())};
    const std::string local = chance(70) ? "2001:db8:ffff::10" : one_of(remotes6_);
    const bool swapped = chance(5);
    const bool remote_is_source = (direction_ == KUDO_INGRESS) != swapped;
    ip.source = remote_is_source ? one_of(remotes6_) : local;
    ip.destination = remote_is_source ? local : one_of(remotes6_);
    if (chance(2)) ip.version = static_cast<uint8_t>(below(16));
    if (chance(5)) ip.payload_length = static_cast<uint16_t>(chance(50) ? below(80) : random_());
    if (is_gso && chance(20)) ip.payload_length = 0;
    packet.add(ip);
    if (is_gso && chance(20)) packet.add(Extension{}); // where BIG TCP has its jumbo option
    const uint32_t extensions = chance(50) ? 0 : chance(70) ? 1 + below(3) : below(11);
    for (uint32_t i = 0; i < extensions; ++i)
        add_extension(packet);
}

void PacketGenerator::add_transport(Packet& packet) {
    const uint16_t remote = port(), local = chance(80) ? static_cast<uint16_t>(40000 + below(4)) : port();
    const uint16_t source = direction_ == KUDO_INGRESS ? remote : local;
    const uint16_t destination = direction_ == KUDO_INGRESS ? local : remote;
    const uint32_t kind = below(100);
    if (kind < 45) {
        Udp udp{.source_port = source, .destination_port = destination};
        if (chance(3)) udp.length = static_cast<uint16_t>(random_());
        if (chance(3)) udp.checksum = 0;
        packet.add(udp);
    } else if (kind < 82) {
        Tcp tcp{.source_port = source, .destination_port = destination};
        if (chance(50)) tcp.options = noise(4 * below(11));
        if (chance(5)) tcp.data_offset = static_cast<uint8_t>(below(16));
        packet.add(tcp);
    } else if (kind < 90) {
        packet.add(Icmp{.type = static_cast<uint8_t>(random_()), .code = static_cast<uint8_t>(below(4))});
    } else {
        packet.add(Raw{.bytes = noise(below(40)), .protocol = static_cast<uint8_t>(random_())});
    }
    packet.add(Raw{.bytes = noise(chance(80) ? below(64) : below(1400))});
}

// What happens to packets on their way: cut short, padded, bits turned.
void PacketGenerator::spoil(Bytes& bytes) {
    if (chance(6)) {
        for (uint32_t i = 0; i < 1 + below(4) && !bytes.empty(); ++i)
            bytes[below(static_cast<uint32_t>(std::min<std::size_t>(bytes.size(), 120)))] ^=
                static_cast<uint8_t>(1u << below(8));
    }
    if (chance(10)) {
        const std::size_t limit = chance(70) ? std::min<std::size_t>(bytes.size(), 150) : bytes.size();
        bytes.resize(below(static_cast<uint32_t>(limit) + 1));
    }
    if (chance(15)) {
        const Bytes padding = noise(below(50));
        bytes.insert(bytes.end(), padding.begin(), padding.end());
    }
    bytes.resize(std::clamp(bytes.size(), min_frame, max_frame));
}

OddPacket PacketGenerator::next() {
    OddPacket result;
    if (chance(25)) {
        result.segment_size = 1 + below(chance(50) ? 100 : 1500);
        result.segments = chance(50) ? 0 : 1 + below(20);
    }
    if (chance(2)) {
        result.bytes = noise(15 + below(150));
        return result;
    }
    Packet packet;
    if (link_ == KUDO_LINK_ETHERNET) add_link(packet);
    if (chance(1)) {
        packet.add(Raw{.bytes = noise(46)});
    } else {
        if (chance(55))
            add_ipv4(packet, result.segment_size != 0);
        else
            add_ipv6(packet, result.segment_size != 0);
        add_transport(packet);
    }
    result.bytes = packet.bytes();
    spoil(result.bytes);
    return result;
}

} // namespace kudo::test
