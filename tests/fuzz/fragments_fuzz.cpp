// SPDX-License-Identifier: MIT
// libFuzzer target: any IP packets, one after the other, as the fragments of datagrams. What mode enforce would let
// through is put together as a host would, and must begin with what was admitted.
// Invariant: the transport header of a datagram comes from one first fragment, which was parsed whole; no later
// fragment that passes lies over it.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <string>

#include "bpf/admit.h"

namespace {

void require(bool condition) {
    if (!condition) std::abort();
}

struct First {
    uint32_t end = 0;    // as the programs note it, in bytes of the fragmentable part
    uint32_t header = 0; // TCP's or UDP's header lies before this
};

// The same in C++ as kudo_fragment_key_of() in admission.bpf.h; IPv6 by RFC 8200 section 4.5.
std::string key_of(const kudo_packet& packet, const uint8_t* frame) {
    const uint8_t* ip = frame + packet.l3_offset;
    if (packet.family == 4)
        return std::string(reinterpret_cast<const char*>(ip + 12), 8) +
               std::string(reinterpret_cast<const char*>(ip + 4), 2) + static_cast<char>(packet.key4.protocol);
    const uint8_t* header = ip + packet.fragment_header * 8;
    return std::string(reinterpret_cast<const char*>(ip + 8), 32) +
           std::string(reinterpret_cast<const char*>(header + 4), 4);
}

class Datagrams {
public:
    void put(const kudo_packet& packet, const uint8_t* frame) {
        const uint32_t end = packet.l3_offset + packet.l3_length;
        const bool has_fragment_header = packet.family == 4 || packet.fragment_header != 0;
        require(has_fragment_header || (!packet.non_first_fragment && !kudo_more_fragments(&packet)));
        if (!has_fragment_header) return;
        const uint32_t begin = packet.family == 4 ? packet.l3_offset + (frame[packet.l3_offset] & 15u) * 4u
                                                  : packet.l3_offset + packet.fragment_header * 8u + 8u;
        require(begin <= end);
        if (packet.non_first_fragment) return put_later(packet, frame);
        if (!kudo_more_fragments(&packet)) return;
        const uint8_t protocol = packet.family == 4 ? packet.key4.protocol : packet.key6.protocol;
        const uint32_t headers_end = packet.l3_offset + packet.header_length;
        // A tiny one, whose TCP or UDP header goes on in the next, was refused as truncated: RFC 1858 section 3.
        if (kudo_has_ports(protocol)) require(headers_end >= begin + 8 && headers_end <= end);
        firsts_[key_of(packet, frame)] = {end - begin, kudo_has_ports(protocol) ? headers_end - begin : 0};
    }

private:
    void put_later(const kudo_packet& packet, const uint8_t* frame) const {
        const auto first = firsts_.find(key_of(packet, frame));
        if (first == firsts_.end()) return;
        const uint32_t offset = kudo_fragment_offset(&packet);
        require(offset != 0);
        if (offset < first->second.end) return; // overlapping_fragment
        require(offset >= first->second.header);
    }

    std::map<std::string, First> firsts_;
};

} // namespace

// Packets: two bytes of length, big-endian, then the packet as on a link without Ethernet.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, std::size_t size) {
    Datagrams datagrams;
    while (size > 2) {
        const std::size_t length = std::min<std::size_t>(kudo_load16(data), size - 2);
        const auto frame = std::make_unique<uint8_t[]>(length);
        std::memcpy(frame.get(), data + 2, length);
        data += 2 + length;
        size -= 2 + length;
        const kudo_frame as_seen{.wire_length = static_cast<uint32_t>(length),
                                 .link = KUDO_LINK_NONE,
                                 .direction = KUDO_INGRESS,
                                 .is_gso = 0,
                                 .vlan_accel = 0};
        kudo_packet packet;
        if (kudo_parse(frame.get(), frame.get() + length, &as_seen, &packet) == 0) datagrams.put(packet, frame.get());
    }
    return 0;
}
