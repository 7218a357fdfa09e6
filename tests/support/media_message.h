// SPDX-License-Identifier: MIT
// What media datagrams carry, put together as it is on the wire: RTP, TURN's channels and indications.
// Invariant: lengths and cookies are right; who wants them wrong changes the bytes.
#pragma once

#include "bpf/stun.h"
#include "tests/support/packet_builder.h"

namespace kudo::test {

inline Bytes be16(uint32_t value) {
    return {static_cast<uint8_t>(value >> 8), static_cast<uint8_t>(value)};
}
inline Bytes be32(uint32_t value) {
    return {static_cast<uint8_t>(value >> 24), static_cast<uint8_t>(value >> 16), static_cast<uint8_t>(value >> 8),
            static_cast<uint8_t>(value)};
}
inline Bytes operator+(Bytes a, const Bytes& b) {
    a.insert(a.end(), b.begin(), b.end());
    return a;
}

struct Rtp {
    uint32_t ssrc = 0x11223344, timestamp = 0;
    uint16_t sequence = 0;
    uint8_t payload_type = 111;
    std::size_t size = 172;
    bool marker = false, padding = false;
};
inline Bytes rtp_packet(const Rtp& rtp) {
    Bytes bytes = Bytes{static_cast<uint8_t>(rtp.padding ? 0xa0 : 0x80),
                        static_cast<uint8_t>(rtp.payload_type | (rtp.marker ? 0x80 : 0))} +
                  be16(rtp.sequence) + be32(rtp.timestamp) + be32(rtp.ssrc);
    bytes.resize(rtp.size, 0x5a);
    return bytes;
}
inline Bytes channel_data(const Bytes& inner) {
    return be16(0x4001) + be16(static_cast<uint32_t>(inner.size())) + inner;
}
inline Bytes attribute(uint32_t type, const Bytes& value) {
    Bytes bytes = be16(type) + be16(static_cast<uint32_t>(value.size())) + value;
    bytes.resize((bytes.size() + 3) & ~std::size_t{3});
    return bytes;
}
inline Bytes stun(uint32_t type, const Bytes& attributes) {
    return be16(type) + be16(static_cast<uint32_t>(attributes.size())) + be32(KUDO_STUN_COOKIE) + Bytes(12, 7) +
           attributes;
}
inline const Bytes peer4 = attribute(0x0012, Bytes(8, 1)), peer6 = attribute(0x0012, Bytes(20, 1));

} // namespace kudo::test
