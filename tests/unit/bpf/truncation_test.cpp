// SPDX-License-Identifier: MIT
// A deep packet cut at every byte: the right reason at each, and never a read beyond the end.
// Invariant: each packet ends where its memory page does, and the next page cannot be read: one byte too far is a
// crash.
#include <cstring>
#include <memory>
#include <system_error>

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include "bpf/parse.h"
#include "tests/support/packet_builder.h"

namespace kudo::test {
namespace {

// Memory of which the last byte is followed by nothing readable.
class PageEnd {
public:
    PageEnd() : page_(static_cast<std::size_t>(sysconf(_SC_PAGESIZE))) {
        void* memory = mmap(nullptr, 2 * page_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (memory == MAP_FAILED) throw std::system_error(errno, std::generic_category(), "mmap");
        memory_ = static_cast<uint8_t*>(memory);
        mprotect(memory_ + page_, page_, PROT_NONE);
    }
    ~PageEnd() { munmap(memory_, 2 * page_); }
    PageEnd(const PageEnd&) = delete;
    PageEnd& operator=(const PageEnd&) = delete;

    // A copy of the first `size` bytes that ends at the end.
    const uint8_t* place(const Bytes& bytes, std::size_t size) {
        uint8_t* start = memory_ + page_ - size;
        std::memcpy(start, bytes.data(), size);
        return start;
    }

private:
    std::size_t page_;
    uint8_t* memory_;
};

// Parses the first `linear` bytes of a frame of which `wire_length` are said to exist; at a page's end, and in a heap
// block of exactly that size, which AddressSanitizer watches.
uint32_t parse_cut(const Bytes& frame, std::size_t linear, std::size_t wire_length, kudo_link_layer link,
                   kudo_packet& packet) {
    static PageEnd memory;
    const uint8_t* start = memory.place(frame, linear);
    const kudo_frame as_seen{.wire_length = static_cast<uint32_t>(wire_length),
                             .link = link,
                             .direction = KUDO_INGRESS,
                             .is_gso = 0,
                             .vlan_accel = 0};
    const uint32_t reason = kudo_parse(start, start + linear, &as_seen, &packet);
    const auto heap = std::make_unique<uint8_t[]>(linear);
    std::memcpy(heap.get(), frame.data(), linear);
    kudo_packet again;
    EXPECT_EQ(kudo_parse(heap.get(), heap.get() + linear, &as_seen, &again), reason);
    return reason;
}

// Where the headers of the deep packet end.
[[maybe_unused]] constexpr std::size_t ethernet_end = 14, tags_end = 22, pppoe_end = 30, ip_end = 70,
                                       hop_by_hop_end = 78, routing_end = 102, ah_end = 118, options_end = 134,
                                       tcp_fixed_end = 154, tcp_end = 166, packet_end = 196;

Packet deep_packet(std::optional<uint16_t> payload_length = {}) {
    return Ethernet{} / Vlan{.tag = KUDO_ETHERTYPE_QINQ} / Vlan{} / Pppoe{} / IPv6{.payload_length = payload_length} /
           Extension{} / Extension{.protocol = KUDO_PROTOCOL_ROUTING, .size = 24} /
           Extension{.protocol = KUDO_PROTOCOL_AH, .size = 16} /
           Extension{.protocol = KUDO_PROTOCOL_DESTINATION_OPTIONS, .size = 16} / Tcp{.options = Bytes(12, 1)} /
           Payload(30);
}

uint32_t cut_inside_link(std::size_t size) {
    return size < pppoe_end ? KUDO_REASON_TRUNCATED_LINK : KUDO_REASON_TRUNCATED_IP;
}

TEST(Truncation, TheDeepPacketIsWhole) {
    const Bytes frame = deep_packet().bytes();
    ASSERT_EQ(frame.size(), packet_end);
    kudo_packet packet;
    EXPECT_EQ(parse_cut(frame, packet_end, packet_end, KUDO_LINK_ETHERNET, packet), 0u);
    EXPECT_EQ(packet.l3_offset, pppoe_end);
    EXPECT_EQ(packet.l3_length, packet_end - pppoe_end);
    EXPECT_EQ(packet.header_length, tcp_end - pppoe_end);
    EXPECT_EQ(packet.key6.protocol, KUDO_PROTOCOL_TCP);
}

TEST(Truncation, AFrameCutOnTheWayEndsInsideLinkOrIp) {
    const Bytes frame = deep_packet().bytes();
    for (std::size_t size = 0; size < packet_end; ++size) {
        kudo_packet packet;
        EXPECT_EQ(parse_cut(frame, size, size, KUDO_LINK_ETHERNET, packet), cut_inside_link(size)) << size;
        EXPECT_LE(packet.l3_offset + packet.l3_length, size);
    }
}

// The sender's own IP length says that the packet ends there.
TEST(Truncation, APacketThatEndsInsideAHeaderNamesThatHeader) {
    for (std::size_t size = 0; size <= packet_end; ++size) {
        const std::size_t payload = size < ip_end ? 0 : size - ip_end;
        const Bytes frame = deep_packet(static_cast<uint16_t>(payload)).bytes();
        const uint32_t expected = size < ip_end        ? cut_inside_link(size)
                                  : size < options_end ? uint32_t{KUDO_REASON_TRUNCATED_EXTENSION}
                                  : size < tcp_end     ? uint32_t{KUDO_REASON_TRUNCATED_TRANSPORT}
                                                       : 0u;
        kudo_packet packet;
        EXPECT_EQ(parse_cut(frame, size, size, KUDO_LINK_ETHERNET, packet), expected) << size;
        // With padding behind it, it is the same.
        if (size >= ip_end) {
            EXPECT_EQ(parse_cut(frame, packet_end, packet_end, KUDO_LINK_ETHERNET, packet), expected) << size;
        }
    }
}

TEST(Truncation, HeadersBeyondTheLinearPartArePulled) {
    const Bytes frame = deep_packet().bytes();
    for (std::size_t linear = 0; linear <= packet_end; ++linear) {
        kudo_packet packet;
        EXPECT_EQ(parse_cut(frame, linear, packet_end, KUDO_LINK_ETHERNET, packet),
                  linear < tcp_fixed_end ? uint32_t{KUDO_PARSE_PULL} : 0u)
            << linear;
    }
}

TEST(Truncation, BareIpv4CutAtEveryByte) {
    const Bytes frame = (IPv4{.options = Bytes(8, 1)} / Udp{} / Payload(10)).bytes();
    for (std::size_t size = 0; size <= frame.size(); ++size) {
        kudo_packet packet;
        EXPECT_EQ(parse_cut(frame, size, size, KUDO_LINK_NONE, packet),
                  size < frame.size() ? uint32_t{KUDO_REASON_TRUNCATED_IP} : 0u)
            << size;
        EXPECT_EQ(parse_cut(frame, size, frame.size(), KUDO_LINK_NONE, packet),
                  size < 36 ? uint32_t{KUDO_PARSE_PULL} : 0u)
            << size;
    }
}

TEST(Truncation, TagsWithoutAnEndCutAtEveryByte) {
    Packet tags = Ethernet{};
    for (int i = 0; i < 8; ++i)
        tags.add(Vlan{});
    const Bytes frame = tags.bytes();
    for (std::size_t size = 0; size <= frame.size(); ++size) {
        kudo_packet packet;
        EXPECT_EQ(parse_cut(frame, size, size, KUDO_LINK_ETHERNET, packet),
                  size < 14 + 4 * 4 ? KUDO_REASON_TRUNCATED_LINK : KUDO_REASON_TOO_MANY_TAGS)
            << size;
    }
}

} // namespace
} // namespace kudo::test
