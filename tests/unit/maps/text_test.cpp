// SPDX-License-Identifier: MIT
// Helpers for text.
// Invariant: each test names one behaviour.
#include <array>

#include <gtest/gtest.h>

#include "maps/base/text.h"

namespace kudo {
namespace {

using Parts = std::vector<std::string_view>;

TEST(Text, IsSplitIntoOnePartMoreThanSeparators) {
    EXPECT_EQ(split("a,,b"), (Parts{"a", "", "b"}));
    EXPECT_EQ(split(""), Parts{""});
    EXPECT_EQ(split("a,"), (Parts{"a", ""}));
    EXPECT_EQ(split("a,b", '/'), Parts{"a,b"});
}

TEST(Text, OfBytesIsTwoHexadecimalDigitsEach) {
    EXPECT_EQ(hex(std::array<unsigned char, 3>{0, 0xab, 9}), "00ab09");
    EXPECT_EQ(hex({}), "");
}

} // namespace
} // namespace kudo
