// SPDX-License-Identifier: MIT
// What kudo_parse() makes of whole, odd and impossible packets.
// Invariant: every reason that the parser can give is reached here.
#include <cstring>
#include <initializer_list>

#include <arpa/inet.h>
#include <gtest/gtest.h>

#include "bpf/parse.h"
#include "tests/support/packet_builder.h"

namespace kudo::test {
namespace {

struct Parsed {
    uint32_t reason = 0;
    kudo_packet packet{};
};

Parsed parse(const Bytes& frame, kudo_link_layer link = KUDO_LINK_ETHERNET, kudo_direction direction = KUDO_INGRESS,
             bool is_gso = false, uint8_t vlan_accel = 0) {
    Parsed result;
    std::memset(&result.packet, 0xff, sizeof result.packet);
    const kudo_frame as_seen{.wire_length = static_cast<uint32_t>(frame.size()),
                             .link = link,
                             .direction = direction,
                             .is_gso = is_gso,
                             .vlan_accel = vlan_accel};
    static const uint8_t nothing = 0; // an empty vector may have no place at all
    const uint8_t* data = frame.empty() ? &nothing : frame.data();
    result.reason = kudo_parse(data, data + frame.size(), &as_seen, &result.packet);
    return result;
}

Parsed parse(const Packet& packet) {
    return parse(packet.bytes());
}

__be32 address4(const char* text) {
    in_addr address{};
    inet_pton(AF_INET, text, &address);
    return address.s_addr;
}

TEST(Parse, TheRemoteIsTheSourceOnIngressAndTheDestinationOnEgress) {
    const Bytes frame = (Ethernet{} / IPv4{.source = "1.2.3.4", .destination = "5.6.7.8"} /
                         Udp{.source_port = 10, .destination_port = 20})
                            .bytes();
    const Parsed in = parse(frame);
    EXPECT_EQ(in.reason, 0u);
    EXPECT_EQ(in.packet.key4.remote, address4("1.2.3.4"));
    EXPECT_EQ(in.packet.key4.local, address4("5.6.7.8"));
    EXPECT_EQ(in.packet.key4.remote_port, 10);
    EXPECT_EQ(in.packet.key4.local_port, 20);
    const Parsed out = parse(frame, KUDO_LINK_ETHERNET, KUDO_EGRESS);
    EXPECT_EQ(out.packet.key4.remote, address4("5.6.7.8"));
    EXPECT_EQ(out.packet.key4.local, address4("1.2.3.4"));
    EXPECT_EQ(out.packet.key4.remote_port, 20);
    EXPECT_EQ(out.packet.key4.local_port, 10);
}

TEST(Parse, Ipv6KeysHoldBothAddresses) {
    const Parsed parsed = parse(Ethernet{} / IPv6{.source = "2001:db8::1", .destination = "2001:db8::2"} / Tcp{});
    in6_addr remote{}, local{};
    inet_pton(AF_INET6, "2001:db8::1", &remote);
    inet_pton(AF_INET6, "2001:db8::2", &local);
    EXPECT_EQ(parsed.packet.family, 6);
    EXPECT_EQ(std::memcmp(parsed.packet.key6.remote, &remote, 16), 0);
    EXPECT_EQ(std::memcmp(parsed.packet.key6.local, &local, 16), 0);
    EXPECT_EQ(parsed.packet.key6.protocol, KUDO_PROTOCOL_TCP);
}

TEST(Parse, PaddingOfTheKeysIsZero) {
    const Parsed parsed = parse(Ethernet{} / IPv4{} / Udp{}); // into memory full of ones
    for (const uint8_t byte : parsed.packet.key4.pad)
        EXPECT_EQ(byte, 0);
}

TEST(Parse, HeaderEndingAtPacketEndIsWhole) {
    EXPECT_EQ(parse(Ethernet{} / IPv4{} / Udp{}).reason, 0u);
    EXPECT_EQ(parse(Ethernet{} / IPv4{} / Tcp{}).reason, 0u);
    EXPECT_EQ(parse(Ethernet{} / IPv4{} / Tcp{.options = Bytes(40, 1)}).reason, 0u);
    EXPECT_EQ(parse(Ethernet{} / IPv4{.options = Bytes(40, 1)} / Udp{}).reason, 0u);
    EXPECT_EQ(parse(Ethernet{} / IPv6{} / Udp{}).reason, 0u);
    EXPECT_EQ(parse(Ethernet{} / IPv6{} / Extension{} / Tcp{}).reason, 0u);
    EXPECT_EQ(parse(Ethernet{} / IPv6{} / Extension{} / Raw{.bytes = {}, .protocol = 59}).reason, 0u);
    EXPECT_EQ(parse(Ethernet{} / IPv4{.protocol = 47}).reason, 0u); // nothing behind the IP header
}

TEST(Parse, EtherTypesOtherThanIpAreNotIp) {
    EXPECT_EQ(parse(Ethernet{.type = 0x0806} / Payload(28)).reason, KUDO_REASON_NOT_IP);
    EXPECT_EQ(parse(Ethernet{.type = 60} / Payload(60)).reason, KUDO_REASON_NOT_IP); // an IEEE 802.3 length
    EXPECT_EQ(parse(Ethernet{} / Vlan{} / Payload(10)).reason, KUDO_REASON_NOT_IP);
    EXPECT_EQ(parse(Ethernet{.type = 0x8863} / Payload(20)).reason, KUDO_REASON_NOT_IP); // PPPoE discovery
    const Parsed arp = parse(Ethernet{.type = 0x0806} / Payload(28));
    EXPECT_EQ(arp.packet.family, 0);
    EXPECT_EQ(arp.packet.l3_length, 28u);
}

TEST(Parse, UpToFourTagsOfEveryKindAreSteppedOver) {
    for (const uint16_t kind :
         std::initializer_list<uint16_t>{KUDO_ETHERTYPE_VLAN, KUDO_ETHERTYPE_QINQ, KUDO_ETHERTYPE_QINQ_OLD}) {
        for (uint32_t tags = 0; tags <= 6; ++tags) {
            Packet packet = Ethernet{};
            for (uint32_t i = 0; i < tags; ++i)
                packet.add(Vlan{.tag = kind});
            const Parsed parsed = parse(packet / IPv4{} / Udp{} / Payload(10));
            EXPECT_EQ(parsed.reason, tags > 4 ? uint32_t{KUDO_REASON_TOO_MANY_TAGS} : 0u) << tags << " tags";
            EXPECT_EQ(parsed.packet.l3_offset, 14 + 4 * std::min(tags, 4u));
            if (tags <= 4) {
                EXPECT_EQ(parsed.packet.l3_length, 38u);
            }
        }
    }
}

// The kernel's VLAN acceleration: skb->vlan_tci holds the outermost tag, the bytes only the others.
TEST(Parse, ATagThatTheKernelTookOutCountsAsOne) {
    for (uint32_t tags = 0; tags <= 5; ++tags) {
        Packet packet = Ethernet{};
        for (uint32_t i = 0; i < tags; ++i)
            packet.add(Vlan{});
        const Bytes frame = (packet / IPv4{} / Udp{} / Payload(10)).bytes();
        const Parsed parsed = parse(frame, KUDO_LINK_ETHERNET, KUDO_INGRESS, false, 1);
        EXPECT_EQ(parsed.reason, tags > 3 ? uint32_t{KUDO_REASON_TOO_MANY_TAGS} : 0u) << tags << " tags";
    }
}

TEST(Parse, PppoeSessionDataIsSteppedOver) {
    EXPECT_EQ(parse(Ethernet{} / Pppoe{} / IPv4{} / Udp{}).reason, 0u);
    EXPECT_EQ(parse(Ethernet{} / Pppoe{} / IPv6{} / Udp{}).reason, 0u);
    EXPECT_EQ(parse(Ethernet{} / Vlan{} / Vlan{} / Pppoe{} / IPv6{} / Udp{}).packet.l3_offset, 30u);
    EXPECT_EQ(parse(Ethernet{} / Pppoe{} / Payload(20)).reason, KUDO_REASON_NOT_IP); // LCP
    EXPECT_EQ(parse(Ethernet{} / Pppoe{.code = 0xa7} / IPv4{} / Udp{}).reason, KUDO_REASON_NOT_IP);
    EXPECT_EQ(parse(Ethernet{} / Pppoe{.version_and_type = 0x21} / IPv4{} / Udp{}).reason, KUDO_REASON_NOT_IP);
}

TEST(Parse, ABareIpInterfaceTellsTheFamilyByTheVersion) {
    EXPECT_EQ(parse((IPv4{} / Udp{}).bytes(), KUDO_LINK_NONE).packet.family, 4);
    EXPECT_EQ(parse((IPv6{} / Udp{}).bytes(), KUDO_LINK_NONE).packet.family, 6);
    EXPECT_EQ(parse((IPv6{.version = 5} / Udp{}).bytes(), KUDO_LINK_NONE).reason, KUDO_REASON_NOT_IP);
    EXPECT_EQ(parse(Bytes{}, KUDO_LINK_NONE).reason, KUDO_REASON_TRUNCATED_IP);
}

TEST(Parse, Ipv4OptionsAreSteppedOver) {
    for (std::size_t size = 0; size <= 40; size += 4) {
        const Parsed parsed = parse(Ethernet{} / IPv4{.options = Bytes(size, 1)} / Udp{.source_port = 77});
        EXPECT_EQ(parsed.reason, 0u);
        EXPECT_EQ(parsed.packet.key4.remote_port, 77);
        EXPECT_EQ(parsed.packet.header_length, 28 + size);
    }
}

TEST(Parse, ImpossibleIpHeadersAreBad) {
    for (uint8_t ihl = 0; ihl < 5; ++ihl)
        EXPECT_EQ(parse(Ethernet{} / IPv4{.ihl = ihl} / Udp{}).reason, KUDO_REASON_BAD_IP);
    for (const uint8_t version : std::initializer_list<uint8_t>{0, 5, 6, 15})
        EXPECT_EQ(parse(Ethernet{} / IPv4{.version = version} / Udp{}).reason, KUDO_REASON_BAD_IP);
    for (const uint8_t version : std::initializer_list<uint8_t>{0, 4, 5, 7, 15})
        EXPECT_EQ(parse(Ethernet{} / IPv6{.version = version} / Udp{}).reason, KUDO_REASON_BAD_IP);
    for (const uint16_t length : std::initializer_list<uint16_t>{0, 1, 19})
        EXPECT_EQ(parse(Ethernet{} / IPv4{.total_length = length} / Udp{}).reason, KUDO_REASON_BAD_IP);
    EXPECT_EQ(parse(Ethernet{} / IPv4{.total_length = 23, .options = Bytes(4, 1)} / Udp{}).reason, KUDO_REASON_BAD_IP);
}

TEST(Parse, LengthsBeyondTheFrameAreTruncatedIp) {
    EXPECT_EQ(parse(Ethernet{} / IPv4{.total_length = 29} / Udp{}).reason, KUDO_REASON_TRUNCATED_IP);
    EXPECT_EQ(parse(Ethernet{} / IPv4{.total_length = 65535} / Udp{}).reason, KUDO_REASON_TRUNCATED_IP);
    EXPECT_EQ(parse(Ethernet{} / IPv6{.payload_length = 9} / Udp{}).reason, KUDO_REASON_TRUNCATED_IP);
    EXPECT_EQ(parse(Ethernet{} / IPv6{.payload_length = 65535} / Udp{}).reason, KUDO_REASON_TRUNCATED_IP);
}

TEST(Parse, TrailingPaddingIsNotCounted) {
    Bytes frame = (Ethernet{} / IPv4{} / Udp{} / Payload(4)).bytes();
    frame.resize(60);
    EXPECT_EQ(parse(frame).reason, 0u);
    EXPECT_EQ(parse(frame).packet.l3_length, 32u);
}

TEST(Parse, TransportHeadersBeyondTheIpLengthAreTruncated) {
    EXPECT_EQ(parse(Ethernet{} / IPv4{.total_length = 27} / Udp{} / Payload(20)).reason,
              KUDO_REASON_TRUNCATED_TRANSPORT);
    EXPECT_EQ(parse(Ethernet{} / IPv4{.total_length = 39} / Tcp{} / Payload(20)).reason,
              KUDO_REASON_TRUNCATED_TRANSPORT);
    EXPECT_EQ(parse(Ethernet{} / IPv4{} / Tcp{.data_offset = 6}).reason, KUDO_REASON_TRUNCATED_TRANSPORT);
    EXPECT_EQ(parse(Ethernet{} / IPv6{.payload_length = 7} / Udp{}).reason, KUDO_REASON_TRUNCATED_TRANSPORT);
    for (uint8_t words = 0; words < 5; ++words)
        EXPECT_EQ(parse(Ethernet{} / IPv4{} / Tcp{.data_offset = words} / Payload(40)).reason,
                  KUDO_REASON_BAD_TRANSPORT);
}

TEST(Parse, OnlyLaterFragmentsHaveNoPorts) {
    const Parsed first = parse(Ethernet{} / IPv4{.more_fragments = true} / Udp{.source_port = 5} / Payload(20));
    EXPECT_EQ(first.reason, 0u);
    EXPECT_FALSE(first.packet.non_first_fragment);
    EXPECT_EQ(first.packet.key4.remote_port, 5);
    for (const uint16_t offset : std::initializer_list<uint16_t>{1, 185, 8191}) {
        const Parsed later = parse(Ethernet{} / IPv4{.fragment_offset = offset, .protocol = 17} / Payload(3));
        EXPECT_EQ(later.reason, 0u);
        EXPECT_TRUE(later.packet.non_first_fragment);
        EXPECT_EQ(later.packet.key4.remote_port, 0);
        EXPECT_EQ(later.packet.key4.local_port, 0);
        EXPECT_EQ(later.packet.key4.protocol, 17);
        EXPECT_EQ(later.packet.key4.non_first_fragment, 1); // so that its flow is not that of whole packets
    }
}

TEST(Parse, DontFragmentAndReservedFlagsAreNoFragment) {
    Bytes frame = (Ethernet{} / IPv4{} / Udp{.source_port = 5}).bytes();
    frame[14 + 6] = 0xc0;
    EXPECT_FALSE(parse(frame).packet.non_first_fragment);
    EXPECT_EQ(parse(frame).packet.key4.remote_port, 5);
}

TEST(Parse, Ipv6FragmentHeadersAreWalked) {
    const Parsed first = parse(Ethernet{} / IPv6{} / Fragment{.more_fragments = true} / Udp{.source_port = 5});
    EXPECT_EQ(first.reason, 0u);
    EXPECT_FALSE(first.packet.non_first_fragment);
    EXPECT_EQ(first.packet.key6.remote_port, 5);
    const Parsed later = parse(Ethernet{} / IPv6{} / Fragment{.offset = 1, .next_header = 17} / Payload(3));
    EXPECT_EQ(later.reason, 0u);
    EXPECT_TRUE(later.packet.non_first_fragment);
    EXPECT_EQ(later.packet.key6.protocol, 17);
    EXPECT_EQ(later.packet.key6.non_first_fragment, 1);
    EXPECT_EQ(later.packet.header_length, 48u);
    Bytes reserved = (Ethernet{} / IPv6{} / Fragment{} / Udp{.source_port = 5}).bytes();
    reserved[14 + 40 + 1] = 0xff; // RFC 8200: reserved, ignored; not a length
    EXPECT_EQ(parse(reserved).packet.key6.remote_port, 5);
}

TEST(Parse, EveryKindOfExtensionHeaderIsSteppedOver) {
    for (const uint8_t kind : std::initializer_list<uint8_t>{KUDO_PROTOCOL_HOP_BY_HOP, KUDO_PROTOCOL_ROUTING,
                                                             KUDO_PROTOCOL_DESTINATION_OPTIONS, KUDO_PROTOCOL_MOBILITY,
                                                             KUDO_PROTOCOL_HIP, KUDO_PROTOCOL_SHIM6}) {
        for (const unsigned size : {8u, 16u, 64u, 1024u})
            EXPECT_EQ(parse(Ethernet{} / IPv6{} / Extension{.protocol = kind, .size = size} / Udp{.source_port = 5})
                          .packet.key6.remote_port,
                      5)
                << int(kind) << " of " << size;
    }
    for (const unsigned size : {8u, 12u, 24u, 1028u})
        EXPECT_EQ(
            parse(Ethernet{} / IPv6{} / Extension{.protocol = KUDO_PROTOCOL_AH, .size = size} / Udp{.source_port = 5})
                .packet.key6.remote_port,
            5)
            << "AH of " << size;
}

TEST(Parse, EspNoNextHeaderAndTheUnknownEndTheWalk) {
    for (const uint8_t protocol : std::initializer_list<uint8_t>{50, 59, 132, 253, 255}) {
        const Parsed parsed =
            parse(Ethernet{} / IPv6{} / Extension{} / Raw{.bytes = Bytes(8, 0), .protocol = protocol});
        EXPECT_EQ(parsed.reason, 0u);
        EXPECT_EQ(parsed.packet.key6.protocol, protocol);
        EXPECT_EQ(parsed.packet.header_length, 48u);
    }
}

TEST(Parse, EightExtensionHeadersAreWalkedAndANinthIsTooMany) {
    for (int count = 0; count <= 10; ++count) {
        Packet packet = Ethernet{} / IPv6{};
        for (int i = 0; i < count; ++i)
            packet.add(Extension{.protocol = KUDO_PROTOCOL_DESTINATION_OPTIONS});
        EXPECT_EQ(parse(packet / Udp{}).reason, count > 8 ? uint32_t{KUDO_REASON_TOO_MANY_EXTENSIONS} : 0u) << count;
    }
}

TEST(Parse, ExtensionHeadersMayEndAtByte2048AndNotBeyond) {
    const auto chain = [](unsigned last) { // 14 + 40 + 1024 + 2: from there on, up to 2048
        return Ethernet{} / IPv6{} / Extension{.protocol = KUDO_PROTOCOL_DESTINATION_OPTIONS, .size = 1024} /
               Extension{.protocol = KUDO_PROTOCOL_AH, .size = last} / Udp{.source_port = 5};
    };
    // 14 + 40 is 2 modulo 4: the last place that a header can end at is 2046.
    EXPECT_EQ(parse(chain(2046 - 1078)).packet.key6.remote_port, 5);
    EXPECT_EQ(parse(chain(2050 - 1078)).reason, KUDO_REASON_TOO_MANY_EXTENSIONS);
    const Bytes bare = (IPv6{} / Extension{.size = 984} / Extension{.size = 1024} / Udp{.source_port = 5}).bytes();
    EXPECT_EQ(parse(bare, KUDO_LINK_NONE).packet.key6.remote_port, 5); // 40 + 984 + 1024 = 2048
}

TEST(Parse, ExtensionHeadersBeyondTheIpLengthAreTruncated) {
    EXPECT_EQ(parse(Ethernet{} / IPv6{.payload_length = 7} / Extension{} / Udp{}).reason,
              KUDO_REASON_TRUNCATED_EXTENSION);
    EXPECT_EQ(parse(Ethernet{} / IPv6{} / Extension{.length = 200} / Udp{}).reason, KUDO_REASON_TRUNCATED_EXTENSION);
    EXPECT_EQ(parse(Ethernet{} / IPv6{.next_header = 0} / Payload(7)).reason, KUDO_REASON_TRUNCATED_EXTENSION);
    EXPECT_EQ(parse(Ethernet{} / IPv6{.next_header = 0}).reason, KUDO_REASON_TRUNCATED_EXTENSION);
}

TEST(Parse, TheDsFieldIsReadInBothFamilies) {
    for (unsigned value = 0; value < 256; ++value) {
        const auto dsfield = static_cast<uint8_t>(value);
        EXPECT_EQ(parse(Ethernet{} / IPv4{.dsfield = dsfield} / Udp{}).packet.dsfield, value);
        EXPECT_EQ(parse(Ethernet{} / IPv6{.dsfield = dsfield, .flow_label = 0xfffff} / Udp{}).packet.dsfield, value);
    }
}

TEST(Parse, IcmpHasNoPorts) {
    EXPECT_EQ(parse(Ethernet{} / IPv4{} / Icmp{}).packet.key4.protocol, KUDO_PROTOCOL_ICMP);
    EXPECT_EQ(parse(Ethernet{} / IPv6{} / Icmp{.type = 128}).packet.key6.protocol, KUDO_PROTOCOL_ICMPV6);
    EXPECT_EQ(parse(Ethernet{} / IPv4{} / Icmp{}).packet.key4.remote_port, 0);
}

TEST(Parse, OnlyASuperPacketMayHaveLengthZero) {
    const Bytes four = (Ethernet{} / IPv4{.total_length = 0} / Tcp{} / Payload(3000)).bytes();
    EXPECT_EQ(parse(four).reason, KUDO_REASON_BAD_IP);
    EXPECT_EQ(parse(four, KUDO_LINK_ETHERNET, KUDO_EGRESS, true).packet.l3_length, 3040u);
    const Bytes six = (Ethernet{} / IPv6{.payload_length = 0} / Extension{} / Tcp{} / Payload(3000)).bytes();
    EXPECT_EQ(parse(six).reason, KUDO_REASON_TRUNCATED_EXTENSION);
    const Parsed big = parse(six, KUDO_LINK_ETHERNET, KUDO_EGRESS, true);
    EXPECT_EQ(big.reason, 0u);
    EXPECT_EQ(big.packet.l3_length, 3068u);
    EXPECT_TRUE(big.packet.has_jumbo_header);
}

} // namespace
} // namespace kudo::test
