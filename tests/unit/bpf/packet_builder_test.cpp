// SPDX-License-Identifier: MIT
// The packet builder itself: known packets byte by byte, and checksums as a receiver checks them.
// Invariant: nothing here is computed by the code that it checks, but for the plain RFC 1071 sum, which has its own
// vector.
#include <gtest/gtest.h>

#include "tests/support/packet_builder.h"

namespace kudo::test {
namespace {

TEST(PacketBuilder, TheSumOfRfc1071sExample) {
    const Bytes example{0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7};
    EXPECT_EQ(internet_checksum(example), static_cast<uint16_t>(~0xddf2));
}

// The header that textbooks use: 4500 0073 0000 4000 4011 b861 c0a8 0001 c0a8 00c7.
TEST(PacketBuilder, AKnownIpv4Header) {
    Bytes packet = (IPv4{.source = "192.168.0.1", .destination = "192.168.0.199"} / Udp{} / Payload(87)).bytes();
    EXPECT_EQ(hex_dump(std::span(packet).first(10)), "45 00 00 73 00 00 00 00 40 11");
    EXPECT_EQ(packet[10] << 8 | packet[11], 0xf861); // b861, and 4000 more without the flag "don't fragment"
}

TEST(PacketBuilder, LayersNameEachOther) {
    const Bytes packet = (Ethernet{} / Vlan{.id = 5, .tag = KUDO_ETHERTYPE_QINQ} / Vlan{.id = 6} / Pppoe{} / IPv6{} /
                          Extension{} / Fragment{} / Udp{} / Payload(4))
                             .bytes();
    EXPECT_EQ(hex_dump(std::span(packet).subspan(12, 10)), "88 a8 00 05 81 00 00 06 88 64");
    EXPECT_EQ(hex_dump(std::span(packet).subspan(22, 8)), "11 00 00 01 00 46 00 57"); // 2 + 40 + 8 + 8 + 12
    EXPECT_EQ(packet[30 + 6], 0);                                                     // hop-by-hop
    EXPECT_EQ(packet[30 + 40], KUDO_PROTOCOL_FRAGMENT);                               // of the hop-by-hop header
    EXPECT_EQ(packet[30 + 40 + 8], KUDO_PROTOCOL_UDP);                                // of the fragment header
    EXPECT_EQ(packet[30 + 4] << 8 | packet[30 + 5], 8 + 8 + 12);
}

// A receiver sums pseudo header and segment, checksum included, and gets all ones.
uint16_t received(const Bytes& packet, std::size_t addresses, std::size_t address_bytes, std::size_t segment,
                  uint8_t protocol) {
    Bytes sum(packet.begin() + static_cast<std::ptrdiff_t>(addresses),
              packet.begin() + static_cast<std::ptrdiff_t>(addresses + address_bytes));
    const std::size_t length = packet.size() - segment;
    sum.insert(sum.end(), {0, protocol, static_cast<uint8_t>(length >> 8), static_cast<uint8_t>(length & 255)});
    sum.insert(sum.end(), packet.begin() + static_cast<std::ptrdiff_t>(segment), packet.end());
    return internet_checksum(sum);
}

TEST(PacketBuilder, TransportChecksumsAreRight) {
    for (std::size_t size = 0; size < 300; ++size) {
        const Raw payload = Payload(size);
        EXPECT_EQ(received((IPv4{} / Udp{} / payload).bytes(), 12, 8, 20, 17), 0);
        EXPECT_EQ(received((IPv4{} / Tcp{.options = {1, 1, 1}} / payload).bytes(), 12, 8, 20, 6), 0);
        EXPECT_EQ(received((IPv6{} / Udp{} / payload).bytes(), 8, 32, 40, 17), 0);
        EXPECT_EQ(received((IPv6{} / Extension{} / Tcp{} / payload).bytes(), 8, 32, 48, 6), 0);
        EXPECT_EQ(received((IPv6{} / Icmp{.type = 128} / payload).bytes(), 8, 32, 40, 58), 0);
        const Bytes icmp = (IPv4{} / Icmp{} / payload).bytes();
        EXPECT_EQ(internet_checksum(std::span(icmp).subspan(20)), 0);
    }
}

TEST(PacketBuilder, WhatIsGivenStandsAsGiven) {
    const Bytes packet =
        (IPv4{.ihl = 3, .total_length = 9, .checksum = 0x1234} / Udp{.length = 7, .checksum = 0}).bytes();
    EXPECT_EQ(packet[0], 0x43);
    EXPECT_EQ(packet[3], 9);
    EXPECT_EQ(hex_dump(std::span(packet).subspan(10, 2)), "12 34");
    EXPECT_EQ(hex_dump(std::span(packet).subspan(24, 4)), "00 07 00 00");
}

} // namespace
} // namespace kudo::test
