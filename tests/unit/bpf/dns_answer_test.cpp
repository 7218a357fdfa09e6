// SPDX-License-Identifier: MIT
// What is learned from DNS responses, and what is refused. Expectations are written out by hand.
#include <gtest/gtest.h>

#include "tests/support/dns_message.h"
#include "tests/support/dns_walk.h"

namespace kudo::test {
namespace {

constexpr const char* asked = "live.kudoway.ca";

uint64_t query_hash(std::string_view name, unsigned type = KUDO_DNS_TYPE_A) {
    const Bytes message = dns_question(name, 7, type);
    std::array<uint8_t, KUDO_DNS_WINDOW> window{};
    std::ranges::copy(message, window.begin());
    kudo_dns_query query{};
    EXPECT_TRUE(kudo_read_dns_query(window.data(), static_cast<uint32_t>(message.size()), &query));
    return query.hash;
}

DnsWalk walk(const Bytes& message, unsigned type = KUDO_DNS_TYPE_A) {
    return walk_of(message, query_hash(asked, type));
}

std::string addresses_of(const DnsWalk& walk) {
    std::string text;
    for (const auto& [address, ttl] : walk.addresses)
        text += (text.empty() ? "" : " ") + address.text() + "/" + std::to_string(ttl);
    return text;
}

// A record with its parts as bytes.
void add_record(Bytes& message, const Bytes& owner, unsigned type, uint32_t ttl, const Bytes& data,
                unsigned class_ = KUDO_DNS_CLASS_IN) {
    message.insert(message.end(), owner.begin(), owner.end());
    for (const unsigned number : {type, class_, unsigned{ttl >> 16}, unsigned{ttl & 0xffff}, unsigned(data.size())})
        append16(message, number);
    message.insert(message.end(), data.begin(), data.end());
}

Bytes pointer(unsigned target) {
    Bytes bytes;
    append16(bytes, 0xc000 | target);
    return bytes;
}

Bytes response(unsigned answers, std::string_view name = asked, unsigned type = KUDO_DNS_TYPE_A) {
    return dns_question(name, 7, type, 0x8180, answers);
}

const Bytes public_address{18, 156, 200, 9}, other_address{18, 156, 200, 10};

TEST(DnsAnswers, GiveTheAddressesOfTheNameInAnyCase) {
    EXPECT_EQ(addresses_of(walk(dns_answer("LIVE.KudoWay.ca", {{asked, "18.156.200.9"}, {asked, "18.156.200.10"}}))),
              "18.156.200.9/60 18.156.200.10/60");
    EXPECT_EQ(
        addresses_of(walk(dns_answer(asked, {{asked, "2a05:d018::9"}}, 7, KUDO_DNS_TYPE_AAAA), KUDO_DNS_TYPE_AAAA)),
        "2a05:d018::9/60");
}

TEST(DnsAnswers, FollowAliasesAndTheLeastTtlCounts) {
    Bytes message = response(4);
    add_record(message, pointer(12), 5, 30, dns_name("a.example.net"));
    add_record(message, dns_name("a.example.net"), 5, 600, dns_name("b.example.net"));
    add_record(message, dns_name("b.example.net"), 1, 900, public_address);
    add_record(message, dns_name("b.example.net"), 1, 20, other_address);
    const DnsWalk result = walk(message);
    EXPECT_EQ(addresses_of(result), "18.156.200.9/30 18.156.200.10/20");
    EXPECT_EQ(result.outcome, KUDO_ANSWER_LEARNED);
    EXPECT_EQ(result.unrelated, 0u);
}

TEST(DnsAnswers, OfOtherNamesAreNotLearned) {
    Bytes message = response(3);
    add_record(message, dns_name("evil.example.net"), 1, 60, other_address);
    add_record(message, pointer(12), 1, 60, public_address);
    add_record(message, dns_name("kudoway.ca"), 1, 60, other_address);
    const DnsWalk result = walk(message);
    EXPECT_EQ(addresses_of(result), "18.156.200.9/60");
    EXPECT_EQ(result.unrelated, 2u);
    // An alias that is not of the chain leads nowhere.
    message = response(2);
    add_record(message, dns_name("x.example.net"), 5, 60, dns_name("y.example.net"));
    add_record(message, dns_name("y.example.net"), 1, 60, other_address);
    EXPECT_EQ(walk(message).outcome, KUDO_ANSWER_NO_ADDRESS);
    EXPECT_EQ(walk(message).unrelated, 2u);
}

TEST(DnsAnswers, OfOtherTypesClassesAndSizesAreNot) {
    Bytes message = response(5);
    add_record(message, pointer(12), KUDO_DNS_TYPE_AAAA, 60, Bytes(16, 0x2a));
    add_record(message, pointer(12), 16, 60, Bytes(4, 3)); // text
    add_record(message, pointer(12), 1, 60, Bytes(5, 18));
    add_record(message, pointer(12), 1, 60, Bytes{});
    add_record(message, pointer(12), 1, 60, public_address, 3); // CHAOS
    EXPECT_EQ(walk(message).outcome, KUDO_ANSWER_NO_ADDRESS);
    EXPECT_EQ(addresses_of(walk(message)), "");
}

TEST(DnsAnswers, ToAnotherQuestionAreRefused) {
    EXPECT_EQ(walk(dns_answer("evil.example.net", {{"evil.example.net", "18.156.200.9"}})).outcome,
              uint32_t{KUDO_ANSWER_WRONG_NAME});
    EXPECT_EQ(walk(dns_answer(asked, {{asked, "2a05:d018::9"}}, 7, KUDO_DNS_TYPE_AAAA)).outcome,
              uint32_t{KUDO_ANSWER_WRONG_NAME});
}

TEST(DnsAnswers, ToAQuestionOfAnotherTypeAreRefusedThoughItsLowByteIsTheSame) {
    Bytes message = response(1, asked, 256 + KUDO_DNS_TYPE_A);
    add_record(message, pointer(12), 256 + KUDO_DNS_TYPE_A, 60, Bytes(16, 0x2a));
    EXPECT_EQ(walk(message).outcome, uint32_t{KUDO_ANSWER_WRONG_NAME});
}

TEST(DnsAnswers, WithPointersForwardOrInCirclesAreRefused) {
    const auto outcome_of = [](const Bytes& owner) {
        Bytes message = response(1);
        add_record(message, owner, 1, 60, public_address);
        return walk(message).outcome;
    };
    const auto record = static_cast<unsigned>(response(1).size());
    EXPECT_EQ(outcome_of(pointer(12)), uint32_t{KUDO_ANSWER_LEARNED});
    EXPECT_EQ(outcome_of(pointer(record)), uint32_t{KUDO_ANSWER_BAD_NAME}) << "to itself";
    EXPECT_EQ(outcome_of(pointer(record + 4)), uint32_t{KUDO_ANSWER_BAD_NAME}) << "forward";
    EXPECT_EQ(outcome_of(pointer(0)), uint32_t{KUDO_ANSWER_BAD_NAME}) << "into the header";
    EXPECT_EQ(outcome_of(pointer(11)), uint32_t{KUDO_ANSWER_BAD_NAME});
    Bytes loop{1, 'a'};
    append16(loop, 0xc000 | record);
    EXPECT_EQ(outcome_of(loop), uint32_t{KUDO_ANSWER_BAD_NAME}) << "to its own first label";
    EXPECT_EQ(outcome_of({0x40, 1, 0}), uint32_t{KUDO_ANSWER_BAD_NAME}) << "neither label nor pointer";
    EXPECT_EQ(outcome_of({0x80, 1, 0}), uint32_t{KUDO_ANSWER_BAD_NAME});
    // A question may not have pointers at all.
    Bytes message = dns_header(7, 0x8180, 1, 1);
    append16(message, 0xc00c);
    append16(message, 1);
    append16(message, 1);
    EXPECT_EQ(walk(message).outcome, uint32_t{KUDO_ANSWER_BAD_NAME});
}

TEST(DnsAnswers, WithNamesThatAreTooLongAreRefused) {
    for (const int labels : {126, 127, 128}) { // 2 bytes each, and the end: 255 are allowed
        Bytes owner;
        for (int i = 0; i < labels; i++) {
            owner.push_back(1);
            owner.push_back('a');
        }
        owner.push_back(0);
        Bytes message = response(2);
        add_record(message, owner, 1, 60, other_address);
        add_record(message, pointer(12), 1, 60, public_address);
        EXPECT_EQ(walk(message).outcome, uint32_t{labels <= 127 ? KUDO_ANSWER_LEARNED : KUDO_ANSWER_BAD_NAME})
            << labels;
    }
}

TEST(DnsAnswers, CutAtAnyByteGiveWhatWasBeforeOrAreTruncated) {
    Bytes message = response(3);
    add_record(message, pointer(12), 5, 30, dns_name("a.example.net"));
    add_record(message, dns_name("a.example.net"), 1, 900, public_address);
    const std::size_t first = message.size();
    add_record(message, dns_name("a.example.net"), 1, 900, other_address);
    for (std::size_t size = KUDO_DNS_HEADER; size < message.size(); size++) {
        const DnsWalk result = walk(Bytes(message.begin(), message.begin() + static_cast<long>(size)));
        EXPECT_EQ(result.outcome, uint32_t{KUDO_ANSWER_TRUNCATED}) << size;
        EXPECT_EQ(result.addresses.size(), size >= first ? 1u : 0u) << size;
    }
    EXPECT_EQ(walk(message).outcome, uint32_t{KUDO_ANSWER_LEARNED});
}

TEST(DnsAnswers, MayHave16AliasesAndNotMore) {
    for (const int aliases : {16, 17, 100}) {
        Bytes message = response(static_cast<unsigned>(aliases) + 1);
        std::string name = asked;
        // Short ones: a message has 1232 bytes.
        for (int i = 0; i < aliases; i++) {
            const std::string next = std::to_string(i);
            add_record(message, i == 0 ? pointer(12) : dns_name(name), 5, 60, dns_name(next));
            name = next;
        }
        add_record(message, dns_name(name), 1, 60, public_address);
        const uint32_t outcome = walk(message).outcome;
        EXPECT_EQ(outcome, uint32_t{aliases == 16                          ? KUDO_ANSWER_LEARNED
                                    : aliases == 17                        ? KUDO_ANSWER_LONG_CHAIN
                                    : message.size() > KUDO_RESPONSE_BYTES ? KUDO_ANSWER_TOO_LARGE
                                                                           : KUDO_ANSWER_LONG_CHAIN})
            << aliases;
    }
}

TEST(DnsAnswers, HaveTtlsAsRfc2181Says) {
    for (const auto& [ttl, seen] : {std::pair{0u, 0u}, {1u << 31, 0u}, {0xffffffffu, 0u}, {0x7fffffffu, 0x7fffffffu}}) {
        Bytes message = response(1);
        add_record(message, pointer(12), 1, ttl, public_address);
        EXPECT_EQ(addresses_of(walk(message)), "18.156.200.9/" + std::to_string(seen));
    }
    const uint64_t second = 1000000000;
    EXPECT_EQ(kudo_learned_time(0), 300 * second);
    EXPECT_EQ(kudo_learned_time(299), 300 * second);
    EXPECT_EQ(kudo_learned_time(301), 301 * second);
    EXPECT_EQ(kudo_learned_time(0x7fffffff), 86400 * second);
}

TEST(DnsAnswers, ThatPointAtThemselvesOverAndOverEndInBoundedWork) {
    const DnsWalk result = walk(dns_labyrinth(asked, 60));
    EXPECT_EQ(result.outcome, uint32_t{KUDO_ANSWER_LONG_CHAIN});
}

TEST(SpecialAddresses, AreNoServices) {
    const auto is_special = [](std::string_view text) {
        const Address address = Address::parse(text).value();
        __be32 words[4];
        std::memcpy(words, address.bytes.data(), sizeof words);
        return address.family == Family::IPv4 ? kudo_is_special4(kudo_swap32(words[0])) != 0
                                              : kudo_is_special6(words) != 0;
    };
    for (const char* special : {"0.0.0.0",
                                "0.1.2.3",
                                "10.0.0.1",
                                "100.64.0.1",
                                "100.127.255.255",
                                "127.0.0.1",
                                "169.254.169.254",
                                "172.16.0.1",
                                "172.31.255.255",
                                "192.0.0.8",
                                "192.0.2.1",
                                "192.88.99.1",
                                "192.168.1.1",
                                "198.18.0.1",
                                "198.19.255.255",
                                "198.51.100.1",
                                "203.0.113.1",
                                "224.0.0.1",
                                "239.255.255.255",
                                "240.0.0.1",
                                "255.255.255.255",
                                "::",
                                "::1",
                                "::ffff:18.156.200.9",
                                "fe80::1",
                                "fc00::1",
                                "fd12::1",
                                "ff02::1",
                                "2001:db8::1",
                                "2001::1",
                                "2001:1ff::1",
                                "2002:a00:1::1",
                                "3fff::1",
                                "64:ff9b::10.0.0.1",
                                "64:ff9b:1::1",
                                "100::1",
                                "4000::1"})
        EXPECT_TRUE(is_special(special)) << special;
    for (const char* service : {"1.1.1.1", "9.255.255.255", "11.0.0.0", "18.156.200.9", "100.63.255.255", "100.128.0.0",
                                "172.15.255.255", "172.32.0.0", "192.0.1.1", "192.167.0.1", "198.17.0.1", "198.20.0.1",
                                "223.255.255.255", "2a05:d018::9", "2001:200::1", "2600::1", "64:ff9b::18.156.200.9"})
        EXPECT_FALSE(is_special(service)) << service;
}

TEST(LearnedNames, AreRenewedAndTheOneThatEndsFirstGoes) {
    const uint64_t second = 1000000000;
    kudo_learned learned{};
    const auto until = [&learned](uint64_t domain) -> uint64_t {
        for (const kudo_learned_name& name : learned.names)
            if (name.domain == domain) return name.until;
        return 0;
    };
    kudo_add_learned(&learned, 1, 11, 0, 1000);
    kudo_add_learned(&learned, 1, 12, 10 * second, 400);
    EXPECT_EQ(until(1), 1000 * second) << "never shorter";
    kudo_add_learned(&learned, 1, 12, 10 * second, 2000);
    EXPECT_EQ(until(1), 2010 * second);
    kudo_add_learned(&learned, 2, 21, 0, 500);
    kudo_add_learned(&learned, 3, 31, 0, 600);
    kudo_add_learned(&learned, 4, 41, 0, 700);
    kudo_add_learned(&learned, 5, 51, 0, 400);
    EXPECT_EQ(until(2), 0u);
    EXPECT_EQ(until(5), 400 * second);
    kudo_add_learned(&learned, 6, 61, 650 * second, 400); // 3 and 5 are over
    EXPECT_EQ(until(4), 700 * second);
    EXPECT_EQ(until(1), 2010 * second);
    EXPECT_EQ(until(6), 1050 * second);
}

} // namespace
} // namespace kudo::test
