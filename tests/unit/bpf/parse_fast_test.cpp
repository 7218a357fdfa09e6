// SPDX-License-Identifier: MIT
// The fast path through the parser: what it takes it parses as the slow path does; and it takes the packets
// that matter.
// Invariant: a failure prints the seed; KUDO_TEST_SEED=SEED repeats it.
#include <cstring>

#include <gtest/gtest.h>

#include "bpf/parse_fast.h"
#include "maps/document/built_in.h"
#include "tests/support/packet_builder.h"
#include "tests/support/packet_generator.h"

namespace kudo::test {
namespace {

kudo_frame seen_as(const Bytes& frame, kudo_link_layer link, kudo_direction direction, uint8_t is_gso = 0) {
    return {.wire_length = static_cast<uint32_t>(frame.size()),
            .link = link,
            .direction = direction,
            .is_gso = is_gso,
            .vlan_accel = 0};
}

bool is_common(const Packet& packet, kudo_link_layer link = KUDO_LINK_ETHERNET) {
    const Bytes frame = packet.bytes();
    const kudo_frame as_seen = seen_as(frame, link, KUDO_INGRESS);
    kudo_packet result;
    return kudo_parse_fast(frame.data(), frame.data() + frame.size(), &as_seen, &result) != 0;
}

TEST(ParseCommon, GivesWhatTheLongWayGives) {
    const uint64_t seed = test_seed();
    int common = 0;
    for (const kudo_link_layer link : {KUDO_LINK_ETHERNET, KUDO_LINK_NONE}) {
        for (const kudo_direction direction : {KUDO_INGRESS, KUDO_EGRESS}) {
            PacketGenerator generator(seed, built_in_range_map(), link, direction);
            for (int i = 0; i < 100'000; ++i) {
                const OddPacket odd = generator.next();
                const Bytes& frame = odd.bytes;
                const kudo_frame as_seen = seen_as(frame, link, direction, odd.segment_size != 0);
                kudo_packet shortly, wholly;
                std::memset(&shortly, 0xa5, sizeof shortly);
                std::memset(&wholly, 0xa5, sizeof wholly);
                if (!kudo_parse_fast(frame.data(), frame.data() + frame.size(), &as_seen, &shortly)) continue;
                common++;
                ASSERT_EQ(kudo_parse(frame.data(), frame.data() + frame.size(), &as_seen, &wholly), 0u)
                    << "packet " << i << " of KUDO_TEST_SEED=" << seed << "\n"
                    << hex_dump(frame);
                shortly.opens = wholly.opens; // what the fast path does not tell
                ASSERT_EQ(std::memcmp(&shortly, &wholly, offsetof(kudo_packet, fragment)), 0)
                    << "packet " << i << " of KUDO_TEST_SEED=" << seed << "\n"
                    << hex_dump(frame);
            }
        }
    }
    EXPECT_GT(common, 10'000);
}

TEST(ParseCommon, KnowsTheRemotePortAndWhoseItIsFromTheStart) {
    const Udp udp{.source_port = 3478, .destination_port = 40000};
    const Tcp tcp{.source_port = 443, .destination_port = 40000};
    const auto port_of = [](const Packet& packet, kudo_direction direction) {
        const Bytes frame = packet.bytes();
        const kudo_frame as_seen = seen_as(frame, KUDO_LINK_ETHERNET, direction);
        kudo_packet result;
        uint32_t port = 1;
        EXPECT_TRUE(kudo_parse_fast_head(frame.data(), frame.data() + frame.size(), &as_seen, &result, &port));
        return (port & KUDO_FAST_TCP ? "tcp/" : "udp/") + std::to_string(kudo_swap16(static_cast<uint16_t>(port)));
    };
    for (const Packet& ip : {Ethernet{} / IPv4{}, Ethernet{} / IPv6{}}) {
        EXPECT_EQ(port_of(ip / udp / Payload(20), KUDO_INGRESS), "udp/3478");
        EXPECT_EQ(port_of(ip / udp / Payload(20), KUDO_EGRESS), "udp/40000");
        EXPECT_EQ(port_of(ip / tcp / Payload(20), KUDO_INGRESS), "tcp/443");
        EXPECT_EQ(port_of(ip / tcp / Payload(20), KUDO_EGRESS), "tcp/40000");
    }
}

TEST(ParseCommon, IsSureOfWhatMostPacketsAre) {
    EXPECT_TRUE(is_common(Ethernet{} / IPv4{} / Udp{} / Payload(160)));
    EXPECT_TRUE(is_common(Ethernet{} / IPv4{} / Tcp{.options = Bytes(12, 1)}));
    EXPECT_TRUE(is_common(Ethernet{} / IPv6{} / Udp{}));
    EXPECT_TRUE(is_common(Ethernet{} / IPv6{} / Tcp{} / Payload(1000)));
    EXPECT_TRUE(is_common(IPv4{} / Udp{} / Payload(160), KUDO_LINK_NONE));
    EXPECT_TRUE(is_common(IPv6{} / Udp{} / Payload(160), KUDO_LINK_NONE));
}

TEST(ParseCommon, LeavesTheRestToTheLongWay) {
    EXPECT_FALSE(is_common(Ethernet{} / Vlan{} / IPv4{} / Udp{} / Payload(160)));
    EXPECT_FALSE(is_common(Ethernet{} / IPv4{.options = Bytes(4, 1)} / Udp{} / Payload(160)));
    EXPECT_FALSE(is_common(Ethernet{} / IPv4{.fragment_offset = 100} / Udp{} / Payload(160)));
    EXPECT_FALSE(is_common(Ethernet{} / IPv6{} / Extension{} / Udp{} / Payload(160)));
    EXPECT_FALSE(is_common(Ethernet{} / IPv4{.protocol = 47} / Payload(160)));
    EXPECT_FALSE(is_common(Ethernet{.type = 0x0806} / Payload(160)));
}

} // namespace
} // namespace kudo::test
