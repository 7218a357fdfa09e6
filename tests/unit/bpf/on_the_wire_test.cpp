// SPDX-License-Identifier: MIT
// How many packets and bytes a frame is on the wire.
// Invariant: each expectation is the sum over segments that the test has built one by one, as a card would cut them.
#include <gtest/gtest.h>

#include "bpf/on_the_wire.h"
#include "tests/support/packet_builder.h"

namespace kudo::test {
namespace {

kudo_packet parse(const Bytes& frame, bool is_gso = true) {
    kudo_packet packet{};
    const auto size = static_cast<uint32_t>(frame.size());
    const kudo_frame as_seen{
        .wire_length = size, .link = KUDO_LINK_ETHERNET, .direction = KUDO_EGRESS, .is_gso = is_gso, .vlan_accel = 0};
    EXPECT_EQ(kudo_parse(frame.data(), frame.data() + size, &as_seen, &packet), 0u);
    return packet;
}

// What a card sends: the headers again before each piece of the payload.
template <typename Build> kudo_counter sent_one_by_one(std::size_t payload, std::size_t segment_size, Build build) {
    kudo_counter wire{};
    for (std::size_t sent = 0; sent < payload; sent += segment_size) {
        const Bytes frame = build(std::min(segment_size, payload - sent)).bytes();
        wire.packets += 1;
        wire.bytes += frame.size() - 14;
    }
    return wire;
}

void expect_equal(const kudo_counter& is, const kudo_counter& should) {
    EXPECT_EQ(is.packets, should.packets);
    EXPECT_EQ(is.bytes, should.bytes);
}

TEST(OnTheWire, AnOrdinaryFrameIsOnePacketOfItsIpLength) {
    Bytes frame = (Ethernet{} / IPv4{} / Udp{} / Payload(3)).bytes();
    frame.resize(60);
    const kudo_packet packet = parse(frame, false);
    expect_equal(kudo_on_the_wire(&packet, 0, 0), {1, 31});
}

TEST(OnTheWire, TcpSegmentsRepeatTheHeadersWithTheirOptions) {
    const auto build4 = [](std::size_t size) {
        return Ethernet{} / IPv4{.options = Bytes(4, 1)} / Tcp{.options = Bytes(12, 1)} / Payload(size);
    };
    const auto build6 = [](std::size_t size) {
        return Ethernet{} / Vlan{} / IPv6{} / Extension{.protocol = KUDO_PROTOCOL_DESTINATION_OPTIONS} /
               Tcp{.options = Bytes(12, 1)} / Payload(size);
    };
    for (const std::size_t payload : {1449u, 2896u, 2897u, 14480u, 60000u}) {
        const auto segments = static_cast<uint32_t>((payload + 1447) / 1448);
        const kudo_packet four = parse(build4(payload).bytes()), six = parse(build6(payload).bytes());
        expect_equal(kudo_on_the_wire(&four, 1448, segments), sent_one_by_one(payload, 1448, build4));
        kudo_counter tagged = sent_one_by_one(payload, 1448, build6);
        tagged.bytes -= 4 * tagged.packets; // the tags
        expect_equal(kudo_on_the_wire(&six, 1448, segments), tagged);
    }
}

TEST(OnTheWire, UdpSegmentsRepeatTheirHeader) {
    const auto build = [](std::size_t size) { return Ethernet{} / IPv4{} / Udp{} / Payload(size); };
    const kudo_packet packet = parse(build(10'001).bytes());
    expect_equal(kudo_on_the_wire(&packet, 1000, 11), sent_one_by_one(10'001, 1000, build));
}

TEST(OnTheWire, SegmentsThatTheKernelDoesNotKnowAreComputed) {
    const auto build = [](std::size_t size) { return Ethernet{} / IPv4{} / Tcp{} / Payload(size); };
    for (const std::size_t payload : {1u, 999u, 1000u, 1001u, 2000u, 2001u}) {
        const kudo_packet packet = parse(build(payload).bytes());
        expect_equal(kudo_on_the_wire(&packet, 1000, 0), sent_one_by_one(payload, 1000, build));
    }
}

TEST(OnTheWire, ASuperPacketWithoutPayloadIsOnePacket) {
    const kudo_packet packet = parse((Ethernet{} / IPv4{} / Tcp{}).bytes());
    expect_equal(kudo_on_the_wire(&packet, 1000, 0), {1, 40});
}

TEST(OnTheWire, BigTcpSegmentsHaveNoJumboHeader) {
    const auto segment = [](std::size_t size) {
        return Ethernet{} / IPv6{} / Tcp{.options = Bytes(12, 1)} / Payload(size);
    };
    constexpr std::size_t payload = 180'000;
    const Bytes frame =
        (Ethernet{} / IPv6{.payload_length = 0} / Extension{} / Tcp{.options = Bytes(12, 1)} / Payload(payload))
            .bytes();
    const kudo_packet packet = parse(frame);
    EXPECT_TRUE(packet.has_jumbo_header);
    expect_equal(kudo_on_the_wire(&packet, 1428, 127), sent_one_by_one(payload, 1428, segment));
}

TEST(OnTheWire, BigTcpWithoutAJumboHeader) {
    const auto four = [](std::size_t size) { return Ethernet{} / IPv4{} / Tcp{} / Payload(size); };
    const auto six = [](std::size_t size) { return Ethernet{} / IPv6{} / Tcp{} / Payload(size); };
    constexpr std::size_t payload = 100'000;
    const kudo_packet packet4 = parse((Ethernet{} / IPv4{.total_length = 0} / Tcp{} / Payload(payload)).bytes());
    expect_equal(kudo_on_the_wire(&packet4, 1460, 69), sent_one_by_one(payload, 1460, four));
    const kudo_packet packet6 = parse((Ethernet{} / IPv6{.payload_length = 0} / Tcp{} / Payload(payload)).bytes());
    expect_equal(kudo_on_the_wire(&packet6, 1440, 70), sent_one_by_one(payload, 1440, six));
}

TEST(OnTheWire, AHopByHopHeaderOfASmallSuperPacketIsRepeated) {
    const auto build = [](std::size_t size) { return Ethernet{} / IPv6{} / Extension{} / Tcp{} / Payload(size); };
    const kudo_packet packet = parse(build(5000).bytes());
    EXPECT_FALSE(packet.has_jumbo_header);
    expect_equal(kudo_on_the_wire(&packet, 1000, 5), sent_one_by_one(5000, 1000, build));
}

} // namespace
} // namespace kudo::test
