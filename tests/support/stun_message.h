// SPDX-License-Identifier: MIT
// STUN messages as they are on the wire.
// Invariant: length and cookie are right; who wants them wrong changes the bytes.
#pragma once

#include <algorithm>
#include <iterator>

#include "tests/support/packet_builder.h"

namespace kudo::test {

inline constexpr uint16_t binding_request = 0x0001, binding_indication = 0x0011, binding_success = 0x0101,
                          binding_error = 0x0111, allocate_request = 0x0003, allocate_error = 0x0113;

// `transaction`: all twelve bytes of it. `attributes`: bytes behind the header, a multiple of four.
inline Bytes stun_message(uint16_t type, uint8_t transaction = 7, std::size_t attributes = 8) {
    const uint8_t begin[] = {static_cast<uint8_t>(type >> 8),
                             static_cast<uint8_t>(type),
                             static_cast<uint8_t>(attributes >> 8),
                             static_cast<uint8_t>(attributes),
                             0x21,
                             0x12,
                             0xa4,
                             0x42};
    Bytes bytes(20 + attributes, 0x5c);
    std::fill_n(bytes.begin(), 20, transaction);
    std::copy(std::begin(begin), std::end(begin), bytes.begin());
    return bytes;
}

} // namespace kudo::test
