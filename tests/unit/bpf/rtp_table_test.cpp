// SPDX-License-Identifier: MIT
// Where the table of RTP streams puts a stream: spread over the buckets, apart by direction, and told apart in one.
#include "bpf/rtp_table.h"

#include <map>
#include <set>

#include <gtest/gtest.h>

#include "bpf/rtp.h"

namespace kudo {
namespace {

constexpr kudo_flow4_key flow4{0x0a00a8c0, 0x02004d0a, 3478, 40000, 2, 17, 0, {}};

TEST(RtpTable, StreamsSpreadOverTheBuckets) {
    // SSRCs are random (RFC 3550 section 8.1), but not all senders know that: numbers in a row too.
    for (const uint32_t step : {1u, 2654435769u}) {
        std::map<uint32_t, int> streams;
        for (uint32_t i = 0; i < 2000; i++)
            streams[kudo_stream_bucket(kudo_stream_hash4(&flow4, 7 + i * step), KUDO_EGRESS, KUDO_RTP4_BUCKETS)]++;
        for (const auto& [bucket, count] : streams) {
            EXPECT_LE(count, KUDO_RTP_WAYS) << bucket;
            EXPECT_GE(bucket, uint32_t{KUDO_RTP4_BUCKETS});
            EXPECT_LT(bucket, uint32_t{2 * KUDO_RTP4_BUCKETS});
        }
        EXPECT_GT(streams.size(), 1200u); // of 2000 balls in 2048 boxes 1276 boxes get one
    }
}

TEST(RtpTable, FlowsThatDifferInOnePlaceHaveOtherHashes) {
    std::set<uint64_t> hashes = {kudo_stream_hash4(&flow4, 7)};
    auto other = flow4;
    const auto add = [&](auto& field) {
        field++;
        EXPECT_TRUE(hashes.insert(kudo_stream_hash4(&other, 7)).second);
        field--;
    };
    add(other.remote);
    add(other.local);
    add(other.remote_port);
    add(other.local_port);
    add(other.interface);
    EXPECT_TRUE(hashes.insert(kudo_stream_hash4(&flow4, 8)).second);
    kudo_flow6_key flow6{};
    for (uint8_t* address : {flow6.remote, flow6.local})
        for (int byte = 0; byte < 16; byte++) {
            address[byte] = 1;
            EXPECT_TRUE(hashes.insert(kudo_stream_hash6(&flow6, 7)).second) << byte;
            address[byte] = 0;
        }
    flow6.interface = 1;
    EXPECT_TRUE(hashes.insert(kudo_stream_hash6(&flow6, 7)).second);
}

TEST(RtpTable, DirectionsHaveBucketsOfTheirOwnAndTagsAreNeverThoseOfAnEmptyRow) {
    for (uint32_t ssrc = 0; ssrc < 100000; ssrc++) {
        const uint64_t hash = kudo_stream_hash4(&flow4, ssrc);
        ASSERT_NE(kudo_stream_tag(hash), 0u);
        ASSERT_LT(kudo_stream_bucket(hash, KUDO_INGRESS, KUDO_RTP6_BUCKETS), uint32_t{KUDO_RTP6_BUCKETS});
        ASSERT_EQ(kudo_stream_bucket(hash, KUDO_INGRESS, KUDO_RTP6_BUCKETS) + KUDO_RTP6_BUCKETS,
                  kudo_stream_bucket(hash, KUDO_EGRESS, KUDO_RTP6_BUCKETS));
    }
}

TEST(RtpTable, MultiplesAreToldWithoutADivision) {
    const auto check = [](uint32_t number) {
        EXPECT_EQ(kudo_is_multiple(number, 5, 15), number % 480 == 0) << number;
        EXPECT_EQ(kudo_is_multiple(number, 5, 5), number % 160 == 0) << number;
        EXPECT_EQ(kudo_is_multiple(number, 4, 5), number % 80 == 0) << number;
    };
    for (uint32_t number = 0; number < 200000; number++)
        check(number);
    for (uint32_t number = 0xffffffff; number > 0xffff0000; number--)
        check(number);
    for (uint32_t number = 1; number < 0xfff00000; number += 65521)
        check(number);
}

} // namespace
} // namespace kudo
