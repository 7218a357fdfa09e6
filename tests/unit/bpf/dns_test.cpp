// SPDX-License-Identifier: MIT
// Which DNS questions the data path takes note of, and what it knows of their names.
// Invariant: each test names one behaviour; what lies behind the bytes that were seen is never looked at.
#include <algorithm>
#include <optional>
#include <random>

#include <gtest/gtest.h>

#include "bpf/dns.h"
#include "maps/document/domain.h"
#include "tests/support/dns_message.h"

namespace kudo::test {
namespace {

// Nothing: no question for addresses. The message is followed by what would end any name at once.
std::optional<kudo_dns_query> read(const Bytes& message) {
    Bytes window(KUDO_DNS_WINDOW, 0);
    std::copy_n(message.begin(), std::min<std::size_t>(message.size(), KUDO_DNS_WINDOW), window.begin());
    kudo_dns_query question{};
    const auto seen = static_cast<uint32_t>(std::min<std::size_t>(message.size(), KUDO_DNS_WINDOW));
    if (!kudo_read_dns_query(window.data(), seen, &question)) return std::nullopt;
    return question;
}

Bytes with(Bytes bytes, std::size_t place, uint8_t value) {
    bytes.at(place) = value;
    return bytes;
}

TEST(DnsQuery, IsReadWithItsIdentifierAndTheEndOfItsName) {
    const auto question = read(dns_question("live.kudoway.ca", 0x1234));
    ASSERT_TRUE(question);
    EXPECT_EQ(question->id, 0x1234);
    EXPECT_EQ(question->ending, name_ending("live.kudoway.ca"));
    EXPECT_EQ(question->ending, name_ending("*.kudoway.ca"));
    EXPECT_EQ(question->ending, name_ending("kudoway.ca"));
    EXPECT_NE(question->ending, name_ending("*.kudoway.com"));
}

TEST(DnsQuery, CapitalLettersAreTheSame) {
    EXPECT_EQ(read(dns_question("LiVe.KUDOWAY.cA"))->hash, read(dns_question("live.kudoway.ca"))->hash);
    EXPECT_EQ(read(dns_question("LiVe.KUDOWAY.cA"))->ending, name_ending("kudoway.ca"));
    EXPECT_NE(read(dns_question("live[.kudoway.ca"))->hash, read(dns_question("live{.kudoway.ca"))->hash);
}

TEST(DnsQuery, NameAndTypeTellQuestionsApart) {
    const auto hash = [](std::string_view name, unsigned type) { return read(dns_question(name, 7, type))->hash; };
    EXPECT_NE(hash("live.kudoway.ca", KUDO_DNS_TYPE_A), hash("live.kudoway.ca", KUDO_DNS_TYPE_AAAA));
    EXPECT_NE(hash("live.kudoway.ca", KUDO_DNS_TYPE_A), hash("api.kudoway.ca", KUDO_DNS_TYPE_A));
    EXPECT_NE(hash("ab.c.de", KUDO_DNS_TYPE_A), hash("a.bc.de", KUDO_DNS_TYPE_A)) << "where a label ends";
}

TEST(DnsQuery, CutShortAnywhereIsNone) {
    const Bytes whole = dns_question("live.kudoway.ca");
    for (std::size_t size = 0; size < whole.size(); ++size)
        EXPECT_FALSE(read(Bytes(whole.begin(), whole.begin() + static_cast<long>(size)))) << size;
    EXPECT_TRUE(read(whole));
}

TEST(DnsQuery, MayHaveExtensionsBehindIt) {
    Bytes message = dns_question("live.kudoway.ca");
    message.resize(message.size() + 11); // EDNS
    message[11] = 1;
    EXPECT_EQ(read(message)->hash, read(dns_question("live.kudoway.ca"))->hash);
    message.resize(1400);
    EXPECT_TRUE(read(message));
}

TEST(DnsQuery, TheLongestNameIsWholeAndALongerOneIsNone) {
    const std::string label(63, 'x');
    const std::string longest = label + "." + label + "." + label + "." + std::string(61, 'y'); // 255 bytes
    ASSERT_EQ(dns_name(longest).size(), 255u);
    EXPECT_TRUE(read(dns_question(longest)));
    EXPECT_EQ(read(dns_question(longest))->ending, name_ending(longest));
    EXPECT_FALSE(read(dns_question(longest + "z")));
}

TEST(DnsQuery, NeedsOneStandardQuestionForAddressesAndNoAnswer) {
    const Bytes good = dns_question("live.kudoway.ca");
    EXPECT_FALSE(read(dns_question("live.kudoway.ca", 7, KUDO_DNS_TYPE_A, 0x8180))) << "a response";
    EXPECT_FALSE(read(dns_question("live.kudoway.ca", 7, KUDO_DNS_TYPE_A, 0x2900))) << "an update";
    EXPECT_FALSE(read(dns_question("live.kudoway.ca", 7, 65))) << "HTTPS";
    EXPECT_FALSE(read(dns_question("live.kudoway.ca", 7, 0x0101))) << "a byte of the type is right";
    EXPECT_FALSE(read(dns_question("live.kudoway.ca", 7, KUDO_DNS_TYPE_A, 0x0100, 1)));
    EXPECT_FALSE(read(with(good, 5, 0)));
    EXPECT_FALSE(read(with(good, 5, 2)));
    EXPECT_FALSE(read(with(good, good.size() - 1, 3))) << "class CHAOS";
    EXPECT_TRUE(read(good));
}

TEST(DnsQuery, ACompressedNameIsNone) {
    for (const int length : {0x40, 0x80, 0xc0, 0xff})
        EXPECT_FALSE(read(with(dns_question("live.kudoway.ca"), KUDO_DNS_HEADER, static_cast<uint8_t>(length))));
}

TEST(DnsQuery, ShortNamesHaveAnEndingOfTheirOwn) {
    EXPECT_TRUE(read(dns_question("")));
    EXPECT_TRUE(read(dns_question("ca")));
    EXPECT_NE(read(dns_question("ca"))->ending, name_ending("kudoway.ca"));
}

TEST(DnsQuery, TheEndOfAnyNameIsTheSameForDomainAndQuestion) {
    std::mt19937 random(20261126);
    const auto letters = [&](std::size_t most) {
        std::string label;
        for (std::size_t i = 0, size = 1 + random() % most; i < size; ++i)
            label += "abcdefghijklmnopqrstuvwxyz0123456789-"[random() % 37];
        return label;
    };
    for (int i = 0; i < 2000; ++i) {
        const std::string domain = letters(63) + "." + letters(20);
        const std::string name = random() % 2 ? letters(63) + "." + domain : domain;
        ASSERT_EQ(read(dns_question(name))->ending, name_ending(domain)) << name;
    }
}

TEST(DnsAnswer, IsAResponseToOneQuestion) {
    EXPECT_TRUE(kudo_is_dns_response(dns_answer("live.kudoway.ca", {{"live.kudoway.ca", "203.0.113.9"}}).data()));
    EXPECT_TRUE(kudo_is_dns_response(dns_header(1, 0x8380, 1, 1).data())); // cut short
    EXPECT_FALSE(kudo_is_dns_response(dns_question("live.kudoway.ca").data()));
    EXPECT_FALSE(kudo_is_dns_response(dns_header(1, 0x8180, 0, 1).data()));
    EXPECT_FALSE(kudo_is_dns_response(dns_header(1, 0x8180, 2, 1).data()));
    EXPECT_FALSE(kudo_is_dns_response(dns_header(1, 0xa980, 1, 1).data())); // of an update
}

TEST(DnsAnswer, HasRecordsIfItIsWholeAndThereIsNoError) {
    EXPECT_TRUE(kudo_has_dns_answers(dns_header(1, 0x8180, 1, 1).data()));
    EXPECT_FALSE(kudo_has_dns_answers(dns_header(1, 0x8180, 1, 0).data()));
    EXPECT_FALSE(kudo_has_dns_answers(dns_header(1, 0x8380, 1, 1).data())); // cut short
    for (unsigned code = 1; code < 16; ++code)
        EXPECT_FALSE(kudo_has_dns_answers(dns_header(1, 0x8180 + code, 1, 1).data())) << code;
}

TEST(NameFilter, LetsHardlyAnyOtherNamePass) {
    kudo_policy policy{};
    for (const char* domain : {"kudoway.com", "kudoway.eu", "kudoway.ca", "tokbox.com", "opentok.com"})
        for (uint32_t hash = 0; hash < KUDO_DOMAIN_BLOOM_HASHES; ++hash) {
            const uint32_t bit = kudo_domain_bloom_bit(name_ending(domain), hash);
            policy.domain_bloom[bit / 64] |= 1ull << bit % 64;
        }
    EXPECT_TRUE(kudo_domain_maybe(&policy, name_ending("tokbox.com")));
    unsigned passed = 0;
    for (unsigned i = 0; i < 300'000; ++i)
        passed += kudo_domain_maybe(&policy, name_ending("name-" + std::to_string(i) + (i % 2 ? ".com" : ".ca"))) != 0;
    EXPECT_EQ(passed, 0u);
}

} // namespace
} // namespace kudo::test
