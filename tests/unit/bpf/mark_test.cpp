// SPDX-License-Identifier: MIT
// Marks: DSCP, skb->priority and the checksum's update.
// Invariant: every updated checksum is compared with one computed from the complete header again.
#include <array>
#include <cstring>
#include <initializer_list>
#include <random>

#include <gtest/gtest.h>

#include "bpf/mark.h"
#include "tests/support/packet_builder.h"

namespace kudo::test {
namespace {

constexpr kudo_mark dscp_mark(unsigned dscp) {
    return {.priority = 0, .dscp = static_cast<__u8>(dscp), .flags = KUDO_MARK_DSCP, .pad = 0};
}

// The words of a header as they lie in memory.
__be16 word_at(std::span<const uint8_t> header, std::size_t offset) {
    __be16 word;
    std::memcpy(&word, header.data() + offset, sizeof word);
    return word;
}

// As egress does it: the first word and the checksum.
void mark_header(std::span<uint8_t> header, uint8_t dsfield) {
    const __be16 old_word = word_at(header, 0);
    header[1] = dsfield;
    const __be16 checksum = kudo_updated_checksum(word_at(header, 10), old_word, word_at(header, 0));
    std::memcpy(header.data() + 10, &checksum, sizeof checksum);
}

// The checksum as a sender computes it.
uint16_t recomputed(Bytes header) {
    header[10] = header[11] = 0;
    return internet_checksum(header);
}

uint16_t checksum_of(const Bytes& header) {
    return static_cast<uint16_t>(header[10] << 8 | header[11]);
}

TEST(Mark, EcnIsKeptAndAHigherClassRespectedForAllDscpEcnAndMarks) {
    for (unsigned dsfield = 0; dsfield < 256; ++dsfield) {
        for (unsigned dscp = 0; dscp < 64; ++dscp) {
            const unsigned now = kudo_marked_dsfield(static_cast<__u8>(dsfield), dscp_mark(dscp));
            EXPECT_EQ(now & 3, dsfield & 3);
            const unsigned old_precedence = dsfield >> 5, new_precedence = dscp >> 3;
            EXPECT_EQ(now >> 2, old_precedence >= new_precedence ? dsfield >> 2 : dscp);
        }
    }
}

TEST(Mark, AnApplicationsChoiceWithinTheClassStays) {
    constexpr unsigned af41 = 34, af42 = 36, ef = 46, cs1 = 8;
    EXPECT_EQ(kudo_marked_dsfield(af42 << 2, dscp_mark(af41)), af42 << 2);
    EXPECT_EQ(kudo_marked_dsfield(ef << 2, dscp_mark(af41)), ef << 2);
    EXPECT_EQ(kudo_marked_dsfield(cs1 << 2, dscp_mark(af41)), af41 << 2);
}

TEST(Mark, WithoutTheFlagNothingChanges) {
    const kudo_mark none{.priority = 6, .dscp = 46, .flags = 0, .pad = 0};
    for (unsigned dsfield = 0; dsfield < 256; ++dsfield)
        EXPECT_EQ(kudo_marked_dsfield(static_cast<__u8>(dsfield), none), dsfield);
    EXPECT_EQ(kudo_marked_priority(1, none, 0), 1u);
}

TEST(Mark, AHigherPriorityIsRespected) {
    const kudo_mark six{.priority = 6, .dscp = 0, .flags = KUDO_MARK_PRIORITY, .pad = 0};
    EXPECT_EQ(kudo_marked_priority(0, six, 0), 6u);
    EXPECT_EQ(kudo_marked_priority(5, six, 0), 6u);
    EXPECT_EQ(kudo_marked_priority(6, six, 0), 6u);
    EXPECT_EQ(kudo_marked_priority(7, six, 0), 7u);
    EXPECT_EQ(kudo_marked_priority(0x00010001, six, 0), 0x00010001u); // a class id
    EXPECT_EQ(kudo_marked_priority(0xffffffff, six, 0), 0xffffffffu);
}

// cfg80211_classify8021d() takes 256 to 263 for what they are; all else would be mapped from the DSCP.
TEST(Mark, AUserPriorityIs256To263) {
    for (const uint32_t no : {0u, 6u, 255u, 264u, 0x4b550004u, 0xffffffffu})
        EXPECT_FALSE(kudo_is_user_priority(no)) << no;
    for (uint32_t yes = 256; yes < 264; yes++)
        EXPECT_TRUE(kudo_is_user_priority(yes)) << yes;
}

TEST(Mark, TheChecksumStaysRightForAllDscpEcnAndMarks) {
    for (unsigned dsfield = 0; dsfield < 256; ++dsfield) {
        const Bytes original = Packet(IPv4{.dsfield = static_cast<uint8_t>(dsfield), .options = {1, 1, 1, 0}}).bytes();
        for (unsigned dscp = 0; dscp < 64; ++dscp) {
            Bytes header = original;
            mark_header(header, kudo_marked_dsfield(static_cast<__u8>(dsfield), dscp_mark(dscp)));
            ASSERT_EQ(checksum_of(header), recomputed(header)) << dsfield << " to " << dscp;
            ASSERT_EQ(internet_checksum(header), 0) << "as a receiver checks it";
        }
    }
}

// Two headers for each DS field whose checksum is 0x0000 before, or after; and its near neighbours.
TEST(Mark, ChecksumsAroundZeroComeOutAsASenderWritesThem) {
    for (unsigned from = 0; from < 256; ++from) {
        for (unsigned to = from % 5; to < 256; to += 5) {
            for (const uint16_t wanted :
                 std::initializer_list<uint16_t>{0x0000, 0x0001, 0x00ff, 0x0100, 0xfffd, 0xfffe}) {
                for (const bool before : {true, false}) {
                    Bytes header = Packet(IPv4{.dsfield = static_cast<uint8_t>(before ? from : to)}).bytes();
                    // Bend the id field until the checksum is the wanted one.
                    const uint32_t id = (recomputed(header) + 0xffffu - wanted) % 0xffffu;
                    header[4] = static_cast<uint8_t>(id >> 8);
                    header[5] = static_cast<uint8_t>(id & 255);
                    ASSERT_EQ(recomputed(header), wanted);
                    header[1] = static_cast<uint8_t>(from);
                    const uint16_t sent = recomputed(header);
                    header[10] = static_cast<uint8_t>(sent >> 8);
                    header[11] = static_cast<uint8_t>(sent & 255);
                    mark_header(header, static_cast<uint8_t>(to));
                    ASSERT_EQ(checksum_of(header), recomputed(header)) << from << " to " << to;
                    if (!before) {
                        ASSERT_EQ(checksum_of(header), wanted);
                    }
                }
            }
        }
    }
}

// 0xffff is no checksum that a sender writes, but receivers take it where 0x0000 is valid.
TEST(Mark, AChecksumOfAllOnesStaysAcceptable) {
    for (unsigned to = 0; to < 256; ++to) {
        Bytes header = Packet(IPv4{}).bytes();
        const uint16_t id = recomputed(header);
        header[4] = static_cast<uint8_t>(id >> 8);
        header[5] = static_cast<uint8_t>(id & 255);
        ASSERT_EQ(recomputed(header), 0);
        header[10] = header[11] = 0xff;
        ASSERT_EQ(internet_checksum(header), 0);
        mark_header(header, static_cast<uint8_t>(to));
        EXPECT_EQ(internet_checksum(header), 0) << to;
    }
}

TEST(Mark, AWrongChecksumStaysAsWrongAsItWas) {
    std::mt19937 random(1);
    for (int i = 0; i < 100'000; ++i) {
        Bytes header =
            Packet(IPv4{.dsfield = static_cast<uint8_t>(random()), .checksum = static_cast<uint16_t>(random())})
                .bytes();
        const uint16_t error = internet_checksum(header);
        mark_header(header, static_cast<uint8_t>(random()));
        ASSERT_EQ(internet_checksum(header) % 0xffff, error % 0xffff);
    }
}

} // namespace
} // namespace kudo::test
