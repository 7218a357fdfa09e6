// SPDX-License-Identifier: MIT
// What is read of a name server's answer.
// Invariant: each test names one behaviour.
#include <algorithm>
#include <ctime>
#include <random>

#include <gtest/gtest.h>

#include "agent/inspect/dns_message.h"
#include "tests/support/dns_message.h"

namespace kudo::test {
namespace {

// "NAME: ADDRESS ADDRESS"; "": no answer.
std::string read(const Bytes& message) {
    const auto answer = read_dns_answer(message);
    if (!answer) return "";
    std::string text = answer->name + ":";
    for (const Address& address : answer->addresses)
        text += " " + address.text();
    return text;
}

TEST(DnsAnswer, GivesTheAddressesOfTheNameThatWasAskedFor) {
    EXPECT_EQ(read(dns_answer("live.kudoway.ca", {{"live.kudoway.ca", "3.97.146.187"},
                                                  {"live.kudoway.ca", "203.0.113.9"},
                                                  {"live.kudoway.ca", "203.0.113.9"}})),
              "live.kudoway.ca: 3.97.146.187 203.0.113.9");
    EXPECT_EQ(read(dns_answer("live.kudoway.ca", {{"live.kudoway.ca", "2001:db8::1"}}, 7, KUDO_DNS_TYPE_AAAA)),
              "live.kudoway.ca: 2001:db8::1");
    EXPECT_EQ(read(dns_answer("live.kudoway.ca", {})), "live.kudoway.ca:");
}

TEST(DnsAnswer, FollowsAliasesInWhateverOrderTheyStand) {
    EXPECT_EQ(read(dns_answer("live.kudoway.ca", {{"elb.example.net", "203.0.113.9"},
                                                  {"live.kudoway.ca", "alias.example.net"},
                                                  {"alias.example.net", "elb.example.net"}})),
              "live.kudoway.ca: 203.0.113.9");
}

TEST(DnsAnswer, AnAddressHasTheLeastTtlOfItsChain) {
    Bytes message = dns_answer("live.kudoway.ca", {{"live.kudoway.ca", "alias.example.net"},
                                                   {"alias.example.net", "203.0.113.9"},
                                                   {"alias.example.net", "203.0.113.10"}});
    EXPECT_EQ(read_dns_answer(message)->ttls, (std::vector<uint32_t>{60, 60}));
    const std::size_t alias_ttl = dns_question("live.kudoway.ca").size() + dns_name("live.kudoway.ca").size() + 4;
    message[alias_ttl + 3] = 7;
    EXPECT_EQ(read_dns_answer(message)->ttls, (std::vector<uint32_t>{7, 7}));
    message[alias_ttl] = 0x80; // RFC 2181 section 8
    EXPECT_EQ(read_dns_answer(message)->ttls, (std::vector<uint32_t>{0, 0}));
}

TEST(DnsAnswer, MoreRecordsAreReadWhereThatIsAsked) {
    std::vector<DnsRecord> records;
    for (int i = 0; i < 200; i++)
        records.push_back({"live.kudoway.ca", "203.0.113." + std::to_string(i)});
    const Bytes message = dns_answer("live.kudoway.ca", records);
    EXPECT_FALSE(read_dns_answer(message));
    ASSERT_TRUE(read_dns_answer(message, 200));
    EXPECT_EQ(read_dns_answer(message, 200)->addresses.size(), 200U);
}

TEST(DnsAnswer, TakesNothingOfOtherNames) {
    EXPECT_EQ(
        read(dns_answer("live.kudoway.ca", {{"other.example.net", "203.0.113.9"}, {"kudoway.ca", "203.0.113.10"}})),
        "live.kudoway.ca:");
}

TEST(DnsAnswer, AliasesInACircleEnd) {
    EXPECT_EQ(read(dns_answer("a.kudoway.ca", {{"a.kudoway.ca", "b.kudoway.ca"}, {"b.kudoway.ca", "a.kudoway.ca"}})),
              "a.kudoway.ca:");
}

TEST(DnsAnswer, NamesAreInLowerCase) {
    EXPECT_EQ(read(dns_answer("LIVE.Kudoway.CA", {{"live.KUDOWAY.ca", "203.0.113.9"}})),
              "live.kudoway.ca: 203.0.113.9");
}

TEST(DnsAnswer, ANameWithOtherCharactersIsNotRead) {
    for (const std::string name : {"li ve.kudoway.ca", "li\nve.kudoway.ca", "li\x1bve.kudoway.ca", "li*ve.kudoway.ca"})
        EXPECT_EQ(read(dns_answer(name, {{name, "203.0.113.9"}})), "") << name;
    const std::string usual = "_sip.x-1.kudoway.ca";
    EXPECT_EQ(read(dns_answer(usual, {{usual, "203.0.113.9"}})), usual + ": 203.0.113.9");
    EXPECT_EQ(read(dns_answer("", {})), "") << "the root";
}

TEST(DnsAnswer, AQuestionIsNone) {
    EXPECT_EQ(read(dns_question("live.kudoway.ca")), "");
}

TEST(DnsAnswer, CutShortAnywhereIsNone) {
    const Bytes whole = dns_answer("live.kudoway.ca", {{"live.kudoway.ca", "3.97.146.187"}});
    for (std::size_t size = 0; size < whole.size(); ++size)
        EXPECT_EQ(read(Bytes(whole.begin(), whole.begin() + static_cast<long>(size))), "") << size;
}

TEST(DnsAnswer, WhateverTheBytesAreNothingBreaks) {
    std::mt19937 random(20261126);
    const Bytes whole =
        dns_answer("live.kudoway.ca", {{"live.kudoway.ca", "alias.example.net"}, {"alias.example.net", "203.0.113.9"}});
    for (int i = 0; i < 20000; ++i) {
        Bytes bytes = whole;
        for (int changes = 1 + static_cast<int>(random() % 4); changes > 0; --changes)
            bytes[random() % bytes.size()] = static_cast<uint8_t>(random());
        const auto answer = read_dns_answer(bytes);
        if (answer) ASSERT_LE(answer->addresses.size(), 1u);
    }
}

TEST(DnsAnswer, OfTooManyRecordsIsNone) {
    std::vector<DnsRecord> records(81, {"a.kudoway.ca", "203.0.113.9"});
    EXPECT_EQ(read(dns_answer("a.kudoway.ca", records)), "");
    records.pop_back();
    EXPECT_EQ(read(dns_answer("a.kudoway.ca", records)), "a.kudoway.ca: 203.0.113.9");
}

TEST(DnsAnswer, IgnoresAllButTheAnswers) {
    Bytes message = dns_answer("a.kudoway.ca", {{"a.kudoway.ca", "203.0.113.9"}});
    message[11] = 1; // an additional record, which is not there
    EXPECT_EQ(read(message), "a.kudoway.ca: 203.0.113.9");
}

TEST(DnsAnswer, AliasesOfThemselvesEndAtOnce) {
    EXPECT_EQ(read(dns_answer("a.kudoway.ca", {{"a.kudoway.ca", "a.kudoway.ca"}, {"a.kudoway.ca", "203.0.113.9"}})),
              "a.kudoway.ca: 203.0.113.9");
    EXPECT_EQ(read(dns_labyrinth("a.kudoway.ca", 64)), "a.kudoway.ca:");
}

// As many as are read at a time, of the longest names: milliseconds; it took ten seconds.
TEST(DnsAnswer, TheWorstMessagesTakeLittleTime) {
    const Bytes worst = dns_labyrinth(std::string(60, 'a') + ".kudoway.ca", 64);
    const std::clock_t start = std::clock();
    for (int i = 0; i < 128; i++)
        ASSERT_TRUE(read_dns_answer(worst));
    EXPECT_LT(std::clock() - start, CLOCKS_PER_SEC / 2);
}

} // namespace
} // namespace kudo::test
