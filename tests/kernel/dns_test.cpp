// SPDX-License-Identifier: MIT
// Which DNS questions and answers the programs note, on every hook and in every wrapping, and which not.
// Invariant: expectations are written out by hand.
#include <algorithm>

#include "agent/inspect/dns_message.h"
#include "tests/kernel/stranger_frames.h"
#include "tests/support/dns_message.h"

namespace kudo::test {
namespace {

constexpr const char* name = "live.kudoway.ca";

Bytes answer_of(uint16_t id = 7, std::string_view asked = name) {
    return dns_answer(asked, {{std::string(asked), "18.156.200.9"}}, id);
}

class DnsTest : public StrangerTest {
protected:
    DnsTest() : StrangerTest(KUDO_DNS_PORT) {}
};
using DnsWay = OnAWay<DnsTest>;

TEST_P(DnsWay, AQuestionIsNotedAndItsAnswerKeptWhole) {
    const Way& way = GetParam();
    receive(answer_of(), way);
    EXPECT_TRUE(datapath_->answers().empty()) << "an answer to nothing";
    send(dns_question(name), way);
    EXPECT_EQ(datapath_->open_queries(), 1u);
    receive(answer_of(8), way);
    EXPECT_TRUE(datapath_->answers().empty()) << "another question's";
    receive(answer_of(), way);
    const auto answers = datapath_->answers();
    ASSERT_EQ(answers.size(), 1u);
    EXPECT_EQ(Bytes(answers[0].message, answers[0].message + answers[0].length), answer_of());
    EXPECT_GT(answers[0].received, 0u);
    EXPECT_EQ(answers[0].interface, 1u); // the test run's, lo
    EXPECT_EQ(datapath_->open_queries(), 0u);
    // Judged and counted once each, as any stranger's.
    const auto counters = datapath_->counters();
    EXPECT_EQ(counters->reasons[KUDO_REASON_STRANGER][KUDO_EGRESS].packets, 1u);
    EXPECT_EQ(counters->reasons[KUDO_REASON_STRANGER][KUDO_INGRESS].packets, 3u);
    EXPECT_TRUE(datapath_->flows().empty());
}

INSTANTIATE_TEST_SUITE_P(Hooks, DnsWay, testing::ValuesIn(all_ways()), name_of_way);

TEST_F(DnsTest, QuestionsAboutOtherNamesLeaveNoTrace) {
    for (const char* other : {"www.example.com", "kudoway.com", "live.kudoway.ca.example.com", "ca"}) {
        send(dns_question(other), plain_);
        receive(answer_of(7, other), plain_);
    }
    EXPECT_EQ(datapath_->open_queries(), 0u);
    EXPECT_TRUE(datapath_->answers().empty());
}

TEST_F(DnsTest, EachQuestionIsAnsweredOnceAndTheLastAnswerStands) {
    send(dns_question(name, 1), plain_);
    receive(answer_of(1), plain_);
    receive(dns_answer(name, {{name, "192.0.2.66"}}, 1), plain_);
    const kudo_response first = datapath_->answers().at(0);
    EXPECT_EQ(Bytes(first.message, first.message + first.length), answer_of(1));
    send(dns_question("LIVE.kudoway.ca", 2), plain_);
    receive(dns_answer("LIVE.kudoway.ca", {{name, "203.0.113.66"}}, 2), plain_);
    const auto answers = datapath_->answers();
    ASSERT_EQ(answers.size(), 1u);
    const auto read = read_dns_answer({answers[0].message, answers[0].length});
    ASSERT_TRUE(read);
    EXPECT_EQ(read->addresses.at(0).text(), "203.0.113.66");
}

TEST_F(DnsTest, AddressesOfBothFamiliesAreKeptApart) {
    send(dns_question(name, 1, KUDO_DNS_TYPE_A), plain_);
    send(dns_question(name, 2, KUDO_DNS_TYPE_AAAA), plain_);
    receive(dns_answer(name, {{name, "2a05:d018::9"}}, 2, KUDO_DNS_TYPE_AAAA), plain_);
    receive(answer_of(1), plain_);
    EXPECT_EQ(datapath_->answers().size(), 2u);
}

TEST_F(DnsTest, AnAnswerFromAnotherAddressOrPortIsNone) {
    send(dns_question(name), plain_);
    receive(answer_of(), {"", "198.51.100.8", true, Shape::Plain});
    receive(answer_of(), plain_, 5353);
    receive(dns_question(name), plain_);
    EXPECT_TRUE(datapath_->answers().empty());
    EXPECT_EQ(datapath_->open_queries(), 1u);
    const Bytes elsewhere = (Ethernet{} / IPv4{.source = plain_.remote, .destination = local4} /
                             Udp{.source_port = KUDO_DNS_PORT, .destination_port = local_port + 1} / Raw{answer_of()})
                                .bytes();
    EXPECT_EQ(datapath_->run_xdp(elsewhere).error, 0);
    EXPECT_TRUE(datapath_->answers().empty());
}

TEST_F(DnsTest, AnAnswerLongerThanUsualIsNotKept) {
    for (const bool by_xdp : {true, false}) {
        load({});
        const Way way{"", plain_.remote, by_xdp, Shape::Plain};
        for (const std::size_t size :
             {std::size_t{KUDO_RESPONSE_BYTES} + 1, std::size_t{1400}, std::size_t{KUDO_RESPONSE_BYTES}}) {
            Bytes message = answer_of();
            for (std::size_t i = message.size(); i < size; ++i)
                message.push_back(static_cast<uint8_t>(i));
            send(dns_question(name), way);
            receive(message, way);
            if (size > KUDO_RESPONSE_BYTES) {
                EXPECT_TRUE(datapath_->answers().empty()) << size;
                continue;
            }
            const kudo_response kept = datapath_->answers().at(0);
            EXPECT_EQ(Bytes(kept.message, kept.message + kept.length), message);
        }
    }
}

TEST_F(DnsTest, AnAnswerThatGivesNothingChangesNothing) {
    send(dns_question(name, 1), plain_);
    receive(answer_of(1), plain_);
    send(dns_question(name, 2), plain_);
    receive(dns_answer(name, {}, 2), plain_);
    receive(dns_answer(name, {{name, "203.0.113.66"}}, 2, KUDO_DNS_TYPE_A, 0x8182), plain_); // the server has failed
    receive(dns_answer(name, {{name, "203.0.113.66"}}, 2, KUDO_DNS_TYPE_A, 0x8380), plain_); // cut short
    const kudo_response kept = datapath_->answers().at(0);
    EXPECT_EQ(Bytes(kept.message, kept.message + kept.length), answer_of(1));
    EXPECT_EQ(datapath_->open_queries(), 0u) << "each query has one response, whatever that is";
}

TEST_F(DnsTest, AnAnswerThatComesTooLateIsNone) {
    send(dns_question(name), plain_);
    datapath_->age_queries(KUDO_QUERY_LIFETIME + 1);
    receive(answer_of(), plain_);
    EXPECT_TRUE(datapath_->answers().empty());
    send(dns_question(name), plain_);
    datapath_->age_queries(KUDO_QUERY_LIFETIME / 2);
    receive(answer_of(), plain_);
    EXPECT_EQ(datapath_->answers().size(), 1u);
}

TEST_F(DnsTest, WhatIsNoQuestionIsNotNoted) {
    const Bytes whole = dns_question(name);
    for (std::size_t size = 0; size < whole.size(); ++size)
        send(Bytes(whole.begin(), whole.begin() + static_cast<long>(size)), plain_);
    send(answer_of(), plain_);
    send(dns_question(name), plain_, 5353);
    send(Bytes(1400, 0xff), plain_);
    const Packet tcp = Ethernet{} / IPv4{.source = local4, .destination = plain_.remote} /
                       Tcp{.source_port = local_port, .destination_port = KUDO_DNS_PORT} / Raw{whole};
    EXPECT_EQ(datapath_->run_tc(KUDO_EGRESS, tcp.bytes()).error, 0);
    EXPECT_EQ(datapath_->open_queries(), 0u);
    send(whole, plain_);
    EXPECT_EQ(datapath_->open_queries(), 1u);
}

TEST_F(DnsTest, WhoDoesNotCountKeepsNothing) {
    load({.ingress_counts = false});
    for (const bool by_xdp : {false, true}) {
        const Way way{"", plain_.remote, by_xdp, Shape::Plain};
        send(dns_question(name), way);
        receive(answer_of(), way);
    }
    EXPECT_TRUE(datapath_->answers().empty());
}

TEST_F(DnsTest, TheNewestStayWhenTheTablesAreFull) {
    for (unsigned i = 0; i < 4000; ++i) {
        const std::string asked = "host-" + std::to_string(i) + ".kudoway.ca";
        send(dns_question(asked, static_cast<uint16_t>(i)), plain_);
        receive(answer_of(static_cast<uint16_t>(i), asked), plain_);
    }
    const auto answers = datapath_->answers();
    EXPECT_LE(answers.size(), 512u);
    EXPECT_GT(answers.size(), 200u);
    EXPECT_TRUE(std::ranges::any_of(answers, [](const kudo_response& kept) {
        return read_dns_answer({kept.message, kept.length})->name == "host-3999.kudoway.ca";
    }));
}

} // namespace
} // namespace kudo::test
