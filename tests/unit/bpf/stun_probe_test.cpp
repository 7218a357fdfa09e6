// SPDX-License-Identifier: MIT
// STUN as a probe: which messages count as what, and what is concluded. Each test names one behaviour.
#include <gtest/gtest.h>

#include <cmath>
#include <memory>

#include "agent/datapath/probes.h"
#include "bpf/stun_probe.h"
#include "tests/support/media_message.h"

namespace kudo::test {
namespace {

constexpr uint64_t ms = 1'000'000;

class StunProbe : public testing::Test {
protected:
    void request(uint32_t number, uint64_t time) {
        const uint32_t id[3] = {number, 2, 3};
        kudo_probe_request(&probe_, id, begin_ + time, &place_);
    }
    bool response(uint32_t number, uint64_t time) {
        const uint32_t id[3] = {number, 2, 3};
        kudo_probe_inbound(&probe_, begin_ + time);
        return kudo_probe_response(&probe_, id, begin_ + time, &place_) != 0;
    }
    void mapped(uint8_t last, uint16_t port, uint64_t time) {
        kudo_mapped_address address{};
        address.family = 4;
        address.port = port;
        const uint8_t bytes[] = {203, 0, 113, last};
        std::copy(std::begin(bytes), std::end(bytes), address.address);
        kudo_probe_mapped(&probe_, &address, begin_ + time);
    }
    [[nodiscard]] FlowProbe read(uint64_t time) const {
        return describe(probe_, {begin_ + time, std::chrono::system_clock::time_point(std::chrono::hours(1000))});
    }
    kudo_stun_probe probe_{};
    uint32_t place_ = 0;
    const uint64_t begin_ = 1000'000 * ms;
};

TEST_F(StunProbe, EachResponseCountsOnceAndOnlyToItsRequest) {
    request(1, 0);
    request(2, 0);
    EXPECT_FALSE(response(3, 10 * ms));
    EXPECT_TRUE(response(2, 10 * ms));
    EXPECT_FALSE(response(2, 11 * ms));
    const FlowProbe is = read(20 * ms);
    EXPECT_EQ(is.requests, 2u);
    EXPECT_EQ(is.responses, 1u);
    EXPECT_EQ(is.pending, 1u);
    EXPECT_EQ(is.unanswered, 0u);
    EXPECT_DOUBLE_EQ(is.rtt.value().last, 10);
}

TEST_F(StunProbe, RequestsAreUnansweredAfterFiveSecondsAndNoMoreOnceAnswered) {
    request(1, 0);
    EXPECT_EQ(read(4999 * ms).pending, 1u);
    EXPECT_EQ(read(5000 * ms).pending, 0u);
    EXPECT_EQ(read(5000 * ms).unanswered, 1u);
    EXPECT_TRUE(response(1, 6000 * ms));
    EXPECT_EQ(read(6000 * ms).unanswered, 0u);
    EXPECT_EQ(read(6000 * ms).responses, 1u);
}

TEST_F(StunProbe, OfManyRequestsAtOnceTheOldestAreUnanswered) {
    for (uint32_t i = 1; i <= 20; i++)
        request(i, i * ms);
    EXPECT_EQ(read(100 * ms).pending, 16u);
    EXPECT_EQ(read(100 * ms).unanswered, 4u);
    EXPECT_FALSE(response(4, 100 * ms));
    EXPECT_TRUE(response(5, 100 * ms));
    const FlowProbe is = read(100 * ms);
    EXPECT_EQ(is.requests, is.responses + is.pending + is.unanswered);
}

TEST_F(StunProbe, RetransmittedRequestsHaveNoRoundTripTime) {
    request(1, 0);
    request(1, 500 * ms);
    request(1, 1500 * ms);
    EXPECT_TRUE(response(1, 1510 * ms));
    FlowProbe is = read(2000 * ms);
    EXPECT_EQ(is.requests, 1u);
    EXPECT_EQ(is.retransmitted, 2u);
    EXPECT_EQ(is.responses, 1u);
    EXPECT_EQ(is.unanswered, 0u);
    EXPECT_FALSE(is.rtt.has_value());
    request(2, 3000 * ms);
    EXPECT_TRUE(response(2, 3042 * ms));
    EXPECT_EQ(read(4000 * ms).rtt.value().count, 1u);
}

TEST_F(StunProbe, PercentilesAreWithinSevenPercent) {
    for (const double milliseconds : {0.05, 0.3, 1.0, 7.7, 42.0, 99.0, 333.0, 1500.0, 3800.0}) {
        probe_ = {};
        const auto rtt = static_cast<uint64_t>(milliseconds * ms);
        for (uint32_t i = 1; i <= 100; i++) {
            request(i, i * 5000 * ms);
            response(i, i * 5000 * ms + (i <= 98 ? rtt : 3 * rtt));
        }
        const RoundTrips is = read(0).rtt.value();
        EXPECT_NEAR(is.p50, milliseconds, milliseconds * 0.07);
        if (milliseconds < 1000) {
            EXPECT_NEAR(is.p99, 3 * milliseconds, 3 * milliseconds * 0.07);
        }
        EXPECT_NEAR(is.min, milliseconds, 0.001);
        EXPECT_NEAR(is.last, 3 * milliseconds, 0.001);
    }
}

TEST_F(StunProbe, SlowRoundTripsAreThoseOfThreeTimesTheBestAndSixtyMillisecondsMore) {
    const auto slow_of = [&](uint64_t best, std::initializer_list<uint64_t> others) {
        probe_ = {};
        uint32_t id = 1;
        request(id, 0);
        response(id, best * ms);
        for (const uint64_t other : others) {
            id++;
            request(id, id * 5000 * ms);
            response(id, id * 5000 * ms + other * ms);
        }
        return read(0).rtt.value().slow;
    };
    EXPECT_EQ(slow_of(1, {1, 2, 50, 75, 300}), 2u);     // 61 ms and more
    EXPECT_EQ(slow_of(20, {20, 70, 90, 400}), 2u);      // 80 ms
    EXPECT_EQ(slow_of(100, {150, 250, 340, 1000}), 2u); // 300 ms
}

TEST_F(StunProbe, BucketsAreInOrderAndNoneIsMissing) {
    uint32_t last = 0;
    for (uint32_t microseconds = 0; microseconds < 5'000'000; microseconds++) {
        const uint32_t bucket = kudo_rtt_bucket(microseconds);
        ASSERT_TRUE(bucket == last || bucket == last + 1) << microseconds;
        last = bucket;
    }
    EXPECT_EQ(last, KUDO_RTT_BUCKETS - 1u);
    EXPECT_EQ(kudo_rtt_bucket(0xffffffff), KUDO_RTT_BUCKETS - 1u);
}

TEST_F(StunProbe, AChangeOfTheMappedAddressIsNotedWithHowQuietItWas) {
    request(1, 0);
    response(1, 20 * ms);
    mapped(7, 40000, 20 * ms);
    EXPECT_EQ(read(30 * ms).mapped_changes, 0u);
    EXPECT_EQ(read(30 * ms).mapped.value(), (MappedAddress{"203.0.113.7", 40000}));
    EXPECT_FALSE(read(30 * ms).last_change.has_value());
    kudo_probe_inbound(&probe_, begin_ + 1000 * ms);
    kudo_probe_inbound(&probe_, begin_ + 34000 * ms); // after 33 s of silence
    request(2, 34500 * ms);
    response(2, 34520 * ms);
    mapped(7, 50001, 34520 * ms);
    const FlowProbe is = read(34520 * ms);
    EXPECT_EQ(is.mapped_changes, 1u);
    ASSERT_TRUE(is.last_change.has_value());
    EXPECT_EQ(is.last_change->before, (MappedAddress{"203.0.113.7", 40000}));
    EXPECT_EQ(is.last_change->after, (MappedAddress{"203.0.113.7", 50001}));
    EXPECT_EQ(is.last_change->quiet_before.count(), 33000);
    EXPECT_EQ(is.last_change->time, std::chrono::system_clock::time_point(std::chrono::hours(1000)));
    mapped(7, 50001, 35000 * ms);
    EXPECT_EQ(read(35000 * ms).mapped_changes, 1u);
}

Bytes xor_mapped(const Bytes& address, uint16_t port) {
    const Bytes key = be32(KUDO_STUN_COOKIE) + Bytes(12, 7); // the transaction of stun()
    Bytes value = Bytes{0, static_cast<uint8_t>(address.size() == 4 ? 1 : 2)} + be16(port ^ 0x2112u);
    for (std::size_t i = 0; i < address.size(); i++)
        value.push_back(static_cast<uint8_t>(address[i] ^ key[i]));
    return attribute(KUDO_STUN_XOR_MAPPED, value);
}

// Nothing: there is none in it.
std::optional<kudo_mapped_address> mapped_in(const Bytes& message) {
    const auto window = std::make_unique<uint8_t[]>(KUDO_RTP_WINDOW);
    std::fill_n(window.get(), KUDO_RTP_WINDOW, uint8_t{0x80}); // what lies behind must not matter
    const auto seen = std::min<std::size_t>(message.size(), KUDO_RTP_WINDOW);
    std::copy_n(message.begin(), seen, window.get());
    kudo_mapped_address mapped{};
    if (!kudo_read_mapped(window.get(), static_cast<uint32_t>(seen), &mapped)) return std::nullopt;
    return mapped;
}

TEST(StunMapped, IsReadWhereverItIsInTheWindow) {
    const Bytes four = {203, 0, 113, 7}, six = {0x20, 1, 0xd, 0xb8, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11};
    for (const Bytes& before : {Bytes{}, attribute(0x0016, Bytes(8, 1)), attribute(0x8022, Bytes(13, 'k'))}) {
        for (const Bytes& address : {four, six}) {
            const auto is = mapped_in(stun(0x0101, before + xor_mapped(address, 4711) + attribute(0x0008, Bytes(20))));
            ASSERT_TRUE(is.has_value());
            EXPECT_EQ(is->family, address.size() == 4 ? 4 : 6);
            EXPECT_EQ(is->port, 4711);
            EXPECT_TRUE(std::equal(address.begin(), address.end(), is->address));
        }
    }
}

TEST(StunMapped, IsOnlyInSuccessAndWhole) {
    const Bytes address = xor_mapped({203, 0, 113, 7}, 4711);
    EXPECT_FALSE(mapped_in(stun(0x0001, address))); // a request
    EXPECT_FALSE(mapped_in(stun(0x0111, address))); // an error
    EXPECT_FALSE(mapped_in(stun(0x0101, {})));
    EXPECT_FALSE(mapped_in(stun(0x0101, Bytes(address.begin(), address.end() - 4))));
    EXPECT_FALSE(mapped_in(stun(0x0101, attribute(0x8022, Bytes(70, 1)) + address))); // beyond the window
    Bytes wrong = address;
    wrong[5] = 3; // no family
    EXPECT_FALSE(mapped_in(stun(0x0101, wrong)));
    Bytes behind = stun(0x0101, {}) + address; // behind what the message says it has
    EXPECT_FALSE(mapped_in(behind));
}

} // namespace
} // namespace kudo::test
