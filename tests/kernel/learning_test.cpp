// SPDX-License-Identifier: MIT
// Learning addresses from DNS responses, and judging packets by them, on each hook and in each wrapping.
// Invariant: expectations are written by hand; what programs make of a message is compared with the native code.
#include <random>
#include <set>

#include <fmt/format.h>

#include "tests/kernel/stranger_frames.h"
#include "tests/support/dns_message.h"
#include "tests/support/dns_walk.h"

namespace kudo::test {
namespace {

constexpr const char* name = "live.kudoway.ca";
constexpr const char* remote = "18.156.200.9";

class LearningTest : public StrangerTest {
protected:
    LearningTest() : StrangerTest(KUDO_DNS_PORT) {}

    void learn(const Way& way, const std::string& address = remote, uint16_t id = 7) {
        const bool v4 = address.find(':') == std::string::npos;
        const unsigned type = v4 ? KUDO_DNS_TYPE_A : KUDO_DNS_TYPE_AAAA;
        send(dns_question(name, id, type), way);
        receive(dns_answer(name, {{name, address}}, id, type), way);
    }
    // An outgoing packet to a port there, and what it was judged.
    kudo_judgement judged(const std::string& address, uint16_t port, bool tcp = true, uint16_t from = 50000) {
        const auto before = datapath_->counters();
        Packet packet = Ethernet{};
        if (address.find(':') == std::string::npos)
            packet.add(IPv4{.source = local4, .destination = address});
        else
            packet.add(IPv6{.source = local6, .destination = address});
        if (tcp)
            packet.add(Tcp{.source_port = from, .destination_port = port});
        else
            packet.add(Udp{.source_port = from, .destination_port = port});
        const auto result = datapath_->run_tc(KUDO_EGRESS, packet.bytes());
        EXPECT_EQ(result.error, 0);
        const auto after = datapath_->counters();
        for (unsigned reason = 0; reason < KUDO_REASON_END; reason++) {
            if (after->reasons[reason][KUDO_EGRESS].packets == before->reasons[reason][KUDO_EGRESS].packets) continue;
            kudo_judgement judgement{};
            judgement.reason = static_cast<uint8_t>(reason);
            for (unsigned class_ = 0; class_ < KUDO_CLASSES; class_++)
                for (unsigned slot = 0; slot < KUDO_MAX_SERVICES; slot++)
                    if (after->services[slot][class_][KUDO_EGRESS].packets !=
                        before->services[slot][class_][KUDO_EGRESS].packets) {
                        judgement.service = static_cast<uint8_t>(slot);
                        judgement.verdict_and_class = static_cast<uint8_t>(class_ << 4);
                    }
            return judgement;
        }
        ADD_FAILURE() << "nothing was counted";
        return {};
    }
    kudo_reason reason(const std::string& address, uint16_t port, bool tcp = true, uint16_t from = 50000) {
        return static_cast<kudo_reason>(judged(address, port, tcp, from).reason);
    }
    uint64_t outcomes(kudo_dns_outcome outcome) { return datapath_->counters()->dns[outcome]; }
};
using LearningWay = OnAWay<LearningTest>;

TEST_P(LearningWay, TheFirstPacketToAnAnsweredAddressIsJudgedByTheName) {
    const Way& way = GetParam();
    if (way.shape == Shape::NoEthernet) {
        // judged() sends Ethernet frames.
        learn(way);
        EXPECT_EQ(datapath_->learned().count(remote), 1u);
        return;
    }
    EXPECT_EQ(reason(remote, 443), KUDO_REASON_STRANGER);
    learn(way);
    const kudo_judgement judgement = judged(remote, 443);
    EXPECT_EQ(judgement.reason, KUDO_REASON_NAME);
    EXPECT_EQ(kudo_class_of(judgement), uint32_t{KUDO_CLASS_CONTROL}) << "of a service of class media";
    EXPECT_NE(judgement.service, 0);
    EXPECT_EQ(reason(remote, 3478, false), KUDO_REASON_NAME);
    EXPECT_EQ(reason(remote, 8443), KUDO_REASON_STRANGER) << "a port that the service does not list";
    EXPECT_EQ(reason(remote, 443, false), KUDO_REASON_STRANGER);
    EXPECT_EQ(reason("18.156.200.10", 443), KUDO_REASON_STRANGER);
    learn(way, "2a05:d018::9", 8);
    EXPECT_EQ(reason("2a05:d018::9", 443), KUDO_REASON_NAME);
    EXPECT_EQ(reason("2a05:d018::a", 443), KUDO_REASON_STRANGER);
    EXPECT_EQ(outcomes(KUDO_ANSWER_LEARNED), 2u);
    EXPECT_EQ(outcomes(KUDO_ANSWER_ENTERED), 2u);
}
INSTANTIATE_TEST_SUITE_P(Hooks, LearningWay, testing::ValuesIn(all_ways()), name_of_way);

TEST_F(LearningTest, ANameNeverOverridesARange) {
    learn(plain_, "3.123.12.129"); // in the map's media range
    const kudo_judgement judgement = judged("3.123.12.129", 3478, false);
    EXPECT_EQ(judgement.reason, KUDO_REASON_RULE);
    EXPECT_EQ(kudo_class_of(judgement), uint32_t{KUDO_CLASS_MEDIA});
    EXPECT_EQ(reason("3.123.12.129", 8443), KUDO_REASON_PORT_NOT_LISTED);
}

TEST_F(LearningTest, ANameEndsWithItsTimeButNotItsFlows) {
    learn(plain_);
    EXPECT_EQ(reason(remote, 443, true, 50001), KUDO_REASON_NAME);
    datapath_->age_learned(301 * 1000000000ull); // the least, since the TTL is 60 s
    EXPECT_EQ(reason(remote, 443, true, 50002), KUDO_REASON_STRANGER);
    EXPECT_EQ(reason(remote, 443, true, 50001), KUDO_REASON_NAME) << "a flow keeps its judgement";
    // Also over a change of the policy, in which its service is still there.
    datapath_->publish(compile(map_here(), options_for(KUDO_PRIORITISE), {}).value(), 2);
    EXPECT_EQ(reason(remote, 443, true, 50001), KUDO_REASON_NAME);
    EXPECT_EQ(reason(remote, 443, true, 50002), KUDO_REASON_STRANGER);
    RangeMap without = map_here();
    without.services[0].ports = {PortRule::parse("udp/3478").value()};
    datapath_->publish(compile(without, options_for(KUDO_PRIORITISE), {}).value(), 3);
    EXPECT_EQ(reason(remote, 443, true, 50001), KUDO_REASON_STRANGER) << "the service lists the port no more";
}

TEST_F(LearningTest, ANameIsNobodysOnceItsDomainHasLeftTheMap) {
    learn(plain_);
    RangeMap without = map_here();
    without.services[0].domains = {"*.example.com"};
    datapath_->publish(compile(without, options_for(KUDO_PRIORITISE), {}).value(), 2);
    EXPECT_EQ(reason(remote, 443), KUDO_REASON_STRANGER);
    datapath_->publish(compile(map_here(), options_for(KUDO_PRIORITISE), {}).value(), 3);
    EXPECT_EQ(reason(remote, 443), KUDO_REASON_NAME) << "learned addresses are no generation's";
}

TEST_F(LearningTest, AnAnswerOfACacheRenews) {
    learn(plain_);
    datapath_->age_learned(200 * 1000000000ull);
    learn(plain_, remote, 8);
    datapath_->age_learned(200 * 1000000000ull);
    EXPECT_EQ(reason(remote, 443), KUDO_REASON_NAME);
    EXPECT_EQ(outcomes(KUDO_ANSWER_ENTERED), 1u);
}

TEST_F(LearningTest, EnforceAdmitsOnlyTheServicesPorts) {
    CompileOptions options = options_for(KUDO_ENFORCE);
    options.admission = KUDO_ADMISSION_ENFORCE;
    AllowRule resolver{.rule = {.first_port = 53,
                                .last_port = 53,
                                .protocol = IPPROTO_UDP,
                                .kind = KUDO_ALLOW_PROTOCOL,
                                .flags = KUDO_ALLOW_TO,
                                .pad = 0},
                       .remotes = {Prefix::parse("198.51.100.7/32").value()},
                       .text = "",
                       .lifeline = {}};
    AllowRule errors{.rule = {.first_port = 0,
                              .last_port = 65535,
                              .protocol = 0,
                              .kind = KUDO_ALLOW_ICMP_ERROR,
                              .flags = KUDO_ALLOW_FROM | KUDO_ALLOW_TO,
                              .pad = 0},
                     .remotes = {Prefix::parse("0.0.0.0/0").value()},
                     .text = "",
                     .lifeline = {}};
    options.allow = {resolver, errors};
    datapath_->publish(compile(map_here(), options, {}).value(), 2);
    EXPECT_EQ(reason(remote, 443), KUDO_REASON_STRANGER);
    const auto arrives = [&](uint16_t port) {
        const Packet packet = Ethernet{} / IPv4{.source = remote, .destination = local4} /
                              Tcp{.source_port = port, .destination_port = 50000, .flags = 0x12};
        return datapath_->run_tc(KUDO_INGRESS, packet.bytes()).returned != tc_drop;
    };
    learn(plain_);
    EXPECT_EQ(outcomes(KUDO_ANSWER_LEARNED), 1u);
    EXPECT_FALSE(arrives(443)) << "this host has not spoken first";
    EXPECT_EQ(reason(remote, 443), KUDO_REASON_NAME);
    EXPECT_TRUE(arrives(443));
    EXPECT_EQ(reason(remote, 8443), KUDO_REASON_STRANGER);
    EXPECT_FALSE(arrives(8443));
    // Its flow is known longer than the name is valid, and so are errors about it: else a smaller path MTU would stop
    // it.
    datapath_->age_learned(301 * 1000000000ull);
    EXPECT_EQ(reason(remote, 443), KUDO_REASON_NAME);
    EXPECT_TRUE(arrives(443));
    const auto too_big = [&](uint16_t port) {
        const Bytes sent = (Ethernet{} / IPv4{.source = local4, .destination = remote} /
                            Tcp{.source_port = 50000, .destination_port = port})
                               .bytes();
        const Packet packet = Ethernet{} / IPv4{.source = "198.51.100.1", .destination = local4} /
                              Icmp{.type = 3, .code = 4} / Raw{.bytes = Bytes(sent.begin() + 14, sent.begin() + 42)};
        return datapath_->run_tc(KUDO_INGRESS, packet.bytes()).returned != tc_drop;
    };
    EXPECT_FALSE(too_big(8443));
    EXPECT_TRUE(too_big(443));
}

TEST_F(LearningTest, ForgedAndUnwantedMessagesAreRefusedAndCounted) {
    const auto good = [](uint16_t id = 7) { return dns_answer(name, {{name, remote}}, id); };
    const Way elsewhere{"", "198.51.100.8", true, Shape::Plain};
    receive(good(), plain_);
    EXPECT_EQ(outcomes(KUDO_ANSWER_UNSOLICITED), 0u) << "nothing is looked at while nothing is awaited";
    send(dns_question(name), plain_);
    receive(good(8), plain_);
    EXPECT_EQ(outcomes(KUDO_ANSWER_UNSOLICITED), 1u) << "another identifier";
    receive(good(), elsewhere);
    EXPECT_EQ(outcomes(KUDO_ANSWER_UNSOLICITED), 2u) << "another server";
    const Bytes port = (Ethernet{} / IPv4{.source = plain_.remote, .destination = local4} /
                        Udp{.source_port = KUDO_DNS_PORT, .destination_port = local_port + 1} / Raw{good()})
                           .bytes();
    EXPECT_EQ(datapath_->run_xdp(port).error, 0);
    EXPECT_EQ(outcomes(KUDO_ANSWER_UNSOLICITED), 3u) << "another port";
    receive(dns_answer("evil.kudoway.ca", {{"evil.kudoway.ca", "18.156.200.66"}}), plain_);
    EXPECT_EQ(outcomes(KUDO_ANSWER_WRONG_NAME), 1u);
    EXPECT_TRUE(datapath_->learned().empty());
    EXPECT_EQ(datapath_->open_queries(), 1u) << "the true one may yet come";
    receive(good(), plain_);
    EXPECT_EQ(outcomes(KUDO_ANSWER_LEARNED), 1u);
    receive(good(), plain_);
    EXPECT_EQ(outcomes(KUDO_ANSWER_UNSOLICITED), 4u) << "a replay";
    send(dns_question(name, 9), plain_);
    datapath_->age_queries(KUDO_QUERY_LIFETIME + 1);
    receive(good(9), plain_);
    EXPECT_EQ(outcomes(KUDO_ANSWER_LATE), 1u);
    for (const char* special : {"10.0.0.1", "127.0.0.1", "192.168.1.1", "255.255.255.255", "224.0.0.251", local4}) {
        send(dns_question(name, 10), plain_);
        receive(dns_answer(name, {{name, special}}, 10), plain_);
    }
    EXPECT_EQ(outcomes(KUDO_ANSWER_SPECIAL), 6u);
    send(dns_question(name, 11), plain_);
    receive(dns_answer(name, {{"other.kudoway.ca", "18.156.200.67"}}, 11), plain_);
    EXPECT_EQ(outcomes(KUDO_ANSWER_UNRELATED), 1u);
    send(dns_question(name, 12), plain_);
    receive(dns_answer(name, {{name, "18.156.200.68"}}, 12, KUDO_DNS_TYPE_A, 0x8380), plain_); // cut short
    send(dns_question(name, 13), plain_);
    receive(Bytes(1400, 0), plain_);
    Bytes large = dns_answer(name, {{name, "18.156.200.69"}}, 13);
    large.resize(KUDO_RESPONSE_BYTES + 1);
    receive(large, plain_);
    EXPECT_EQ(outcomes(KUDO_ANSWER_TOO_LARGE), 1u);
    EXPECT_EQ(datapath_->learned().size(), 1u);
    EXPECT_EQ(datapath_->learned().count(remote), 1u);
}

TEST_F(LearningTest, TheTableIsBoundedAndTheNewestStay) {
    const auto address = [](unsigned i) { return fmt::format("18.{}.{}.{}", 100 + (i >> 16), i >> 8 & 255, i & 255); };
    constexpr unsigned many = 3 * KUDO_LEARNED4;
    for (unsigned first = 0; first < many; first += 40) {
        std::vector<DnsRecord> records;
        for (unsigned i = first; i < first + 40; i++)
            records.push_back({"a.kudoway.ca", address(i)});
        send(dns_question("a.kudoway.ca", static_cast<uint16_t>(first)), plain_);
        receive(dns_answer("a.kudoway.ca", records, static_cast<uint16_t>(first)), plain_);
    }
    const auto learned = datapath_->learned();
    EXPECT_LE(learned.size(), std::size_t{KUDO_LEARNED4});
    EXPECT_GT(learned.size(), std::size_t{KUDO_LEARNED4} / 2);
    EXPECT_GE(outcomes(KUDO_ANSWER_ENTERED), many);
    EXPECT_EQ(reason(address(many - 1), 443), KUDO_REASON_NAME);
}

// Random and mutated messages: the programs and the native code make the same of them.
TEST_F(LearningTest, WhatTheProgramsMakeOfAMessageIsWhatTheNativeCodeDoes) {
    std::mt19937 random(17);
    const auto below = [&random](unsigned limit) { return static_cast<unsigned>(random() % limit); };
    const Bytes question = dns_question(name);
    kudo_dns_query query{};
    std::array<uint8_t, KUDO_DNS_WINDOW> window{};
    std::ranges::copy(question, window.begin());
    ASSERT_TRUE(kudo_read_dns_query(window.data(), static_cast<uint32_t>(question.size()), &query));
    const char* names[] = {name, "a.example.net", "b.example.net"};
    std::array<unsigned, KUDO_ANSWER_END> seen{};
    std::set<std::string> addresses;
    for (int round = 0; round < 3000; round++) {
        std::vector<DnsRecord> records;
        for (unsigned i = 0, count = 1 + below(12); i < count; i++)
            records.push_back({names[below(3)], below(3) == 0   ? std::string(names[below(3)])
                                                : below(8) == 0 ? "10.0.0.1"
                                                                : fmt::format("18.1.{}.{}", below(256), below(256))});
        Bytes message = round % 50 == 0 ? dns_labyrinth(name, 60) : dns_answer(name, records);
        for (unsigned i = 0, count = below(4) == 0 ? 1 + below(4) : 0; i < count; i++) // not the identifier
            message[2 + below(static_cast<unsigned>(message.size()) - 2)] = static_cast<uint8_t>(random());
        if (below(8) == 0) // not less than what is looked at
            message.resize(20 + below(static_cast<unsigned>(message.size()) - 20));
        if (!kudo_is_dns_response(message.data())) continue;
        const DnsWalk native = walk_of(message, query.hash);
        const auto before = datapath_->counters();
        send(question, plain_);
        receive(message, Way{"", plain_.remote, round % 2 == 0, Shape::Plain});
        const auto after = datapath_->counters();
        for (unsigned outcome = 0; outcome < KUDO_ANSWER_END; outcome++) {
            const uint64_t more = after->dns[outcome] - before->dns[outcome];
            if (outcome == KUDO_ANSWER_UNRELATED)
                ASSERT_EQ(more, native.unrelated) << hex_dump(message);
            else if (outcome == KUDO_ANSWER_SPECIAL)
                ASSERT_EQ(more, native.special) << hex_dump(message);
            else if (outcome != KUDO_ANSWER_ENTERED)
                ASSERT_EQ(more, outcome == native.outcome ? 1u : 0u) << outcome << "\n" << hex_dump(message);
        }
        seen[native.outcome]++;
        for (const auto& [address, ttl] : native.addresses)
            addresses.insert(address.text());
    }
    // All of them, and no other one.
    std::set<std::string> learned;
    for (const auto& [address, row] : datapath_->learned())
        learned.insert(address);
    EXPECT_EQ(learned, addresses);
    for (const kudo_dns_outcome outcome : {KUDO_ANSWER_LEARNED, KUDO_ANSWER_NO_ADDRESS, KUDO_ANSWER_WRONG_NAME,
                                           KUDO_ANSWER_TRUNCATED, KUDO_ANSWER_BAD_NAME, KUDO_ANSWER_LONG_CHAIN})
        EXPECT_GT(seen[outcome], 10u) << outcome;
}

} // namespace
} // namespace kudo::test
