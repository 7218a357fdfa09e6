// SPDX-License-Identifier: MIT
// What is a STUN message, and of which class.
// Invariant: each test names one behaviour; messages lie at the very end of their memory, where reading on is an error.
#include <algorithm>
#include <memory>

#include <gtest/gtest.h>

#include "bpf/stun.h"
#include "tests/support/stun_message.h"

namespace kudo::test {
namespace {

uint32_t kind_of(const Bytes& bytes) {
    const auto exact = std::make_unique<uint8_t[]>(bytes.size());
    std::copy(bytes.begin(), bytes.end(), exact.get());
    return kudo_stun_kind_of(exact.get(), static_cast<uint32_t>(bytes.size()));
}

Bytes with(Bytes bytes, std::size_t place, uint8_t value) {
    bytes.at(place) = value;
    return bytes;
}

TEST(Stun, TheClassIsTwoBitsOfTheTypeWhateverTheMethod) {
    EXPECT_EQ(kind_of(stun_message(binding_request)), KUDO_STUN_REQUEST);
    EXPECT_EQ(kind_of(stun_message(allocate_request)), KUDO_STUN_REQUEST);
    EXPECT_EQ(kind_of(stun_message(binding_indication)), KUDO_STUN_INDICATION);
    EXPECT_EQ(kind_of(stun_message(0x0016)), KUDO_STUN_INDICATION); // TURN's Send
    EXPECT_EQ(kind_of(stun_message(binding_success)), KUDO_STUN_RESPONSE);
    EXPECT_EQ(kind_of(stun_message(binding_error)), KUDO_STUN_RESPONSE);
    EXPECT_EQ(kind_of(stun_message(allocate_error)), KUDO_STUN_RESPONSE);
    EXPECT_EQ(kind_of(stun_message(0x3eef)), KUDO_STUN_REQUEST); // every bit of the method
    EXPECT_EQ(kind_of(stun_message(0x3fff)), KUDO_STUN_RESPONSE);
}

TEST(Stun, NeedsNoAttributes) {
    EXPECT_EQ(kind_of(stun_message(binding_request, 1, 0)), KUDO_STUN_REQUEST);
}

TEST(Stun, CutShortAnywhereIsNone) {
    const Bytes whole = stun_message(binding_request, 7, 8);
    for (std::size_t size = 0; size < whole.size(); ++size)
        EXPECT_EQ(kind_of(Bytes(whole.begin(), whole.begin() + static_cast<long>(size))), KUDO_STUN_NONE) << size;
    EXPECT_EQ(kind_of(whole), KUDO_STUN_REQUEST);
}

TEST(Stun, MayStandBeforeOtherBytes) {
    Bytes bytes = stun_message(binding_success);
    bytes.resize(bytes.size() + 3);
    EXPECT_EQ(kind_of(bytes), KUDO_STUN_RESPONSE);
}

TEST(Stun, EveryBitOfTheCookieCounts) {
    for (std::size_t bit = 0; bit < 32; ++bit) {
        Bytes bytes = stun_message(binding_request);
        bytes[4 + bit / 8] = static_cast<uint8_t>(bytes[4 + bit / 8] ^ 1u << bit % 8);
        EXPECT_EQ(kind_of(bytes), KUDO_STUN_NONE) << bit;
    }
}

TEST(Stun, TheLengthIsAMultipleOfFour) {
    for (uint8_t length = 0; length <= 8; ++length)
        EXPECT_EQ(kind_of(with(stun_message(binding_request, 7, 8), 3, length)),
                  length % 4 == 0 ? KUDO_STUN_REQUEST : KUDO_STUN_NONE)
            << int(length);
    EXPECT_EQ(kind_of(with(stun_message(binding_request), 2, 0xff)), KUDO_STUN_NONE) << "longer than the datagram";
}

TEST(Stun, TheFirstTwoBitsAreZero) {
    for (const uint8_t first : Bytes{0x40, 0x80, 0xc0})
        EXPECT_EQ(kind_of(with(stun_message(binding_request), 0, first)), KUDO_STUN_NONE);
}

TEST(Stun, WhatElseMediaPortsCarryIsNone) {
    Bytes rtp(172, 0x5a);
    std::ranges::copy(Bytes{0x80, 111, 0, 8, 0x21, 0x12, 0xa4, 0x42}, rtp.begin()); // its timestamp is the cookie
    EXPECT_EQ(kind_of(rtp), KUDO_STUN_NONE);
    Bytes rtcp = rtp;
    rtcp[1] = 200;
    EXPECT_EQ(kind_of(rtcp), KUDO_STUN_NONE);
    Bytes channel_data = stun_message(binding_request);
    channel_data[0] = 0x40;
    EXPECT_EQ(kind_of(channel_data), KUDO_STUN_NONE);
    Bytes dtls = {22, 254, 253};
    dtls.resize(60);
    EXPECT_EQ(kind_of(dtls), KUDO_STUN_NONE);
}

} // namespace
} // namespace kudo::test
