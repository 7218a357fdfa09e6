// SPDX-License-Identifier: MIT
// Flow records: what a destination is owed of each flow, whatever becomes of it, of the flow and of the service.
#include <gtest/gtest.h>

#include <map>
#include <set>
#include <string>
#include <vector>

#include <arpa/inet.h>
#include <nlohmann/json.hpp>

#include "agent/flowrecords/batch.h"
#include "agent/flowrecords/destination.h"
#include "agent/flowrecords/ipfix_encoder.h"
#include "agent/flowrecords/ledger.h"
#include "agent/flowrecords/seen_flows.h"
#include "tests/support/ipfix_reader.h"

namespace kudo {
namespace {

using test::ipfix_number, test::IpfixReader, test::IpfixValues;

using std::chrono::milliseconds;
constexpr LedgerTimeouts timeouts{milliseconds(60'000), milliseconds(15'000)};
constexpr const char* boot = "3f1c4c4e-0000-4000-8000-000000000001";
constexpr int64_t wall_start = 1'700'000'000'000;

LedgerTime at(int64_t time) {
    return {1'000'000 + time, wall_start + time};
}

// A flow from this local port that began at 0 and had its last packet at `last`.
SeenFlow flow(uint16_t port, uint64_t packets_out, uint64_t packets_in, int64_t now, int64_t last = -1,
              int64_t began = 0) {
    SeenFlow seen;
    DataRecord& record = seen.record;
    record.flow = {.family = 4, .protocol = IPPROTO_UDP, .local_port = port, .remote_port = 3478};
    inet_pton(AF_INET, "10.77.0.2", record.flow.local);
    inet_pton(AF_INET, "3.123.12.129", record.flow.remote);
    record.counters[KUDO_EGRESS] = {packets_out, 100 * packets_out};
    record.counters[KUDO_INGRESS] = {packets_in, 200 * packets_in};
    record.first_seen = record.start = wall_start + began;
    record.stop = wall_start + (last < 0 ? now : last);
    seen.age = now - began;
    return seen;
}

class Ledger : public testing::Test {
protected:
    // What is due now, which is handed over.
    std::vector<DataRecord> hand_over(int64_t now, std::size_t most = 1000) {
        std::vector<DataRecord> all;
        while (ledger_.has_due()) {
            const auto records = ledger_.take(most, at(now));
            for (const DataRecord& record : records) {
                sums_[record.flow.local_port].packets += record.counters[KUDO_EGRESS].packets;
                sums_[record.flow.local_port].bytes += record.counters[KUDO_INGRESS].bytes;
                all.push_back(record);
            }
            ledger_.handed_over(records.size(), at(now));
        }
        return all;
    }
    void look(const std::vector<SeenFlow>& flows, int64_t now) { ledger_.look(flows, at(now)); }

    FlowLedger ledger_{timeouts};
    std::map<uint16_t, kudo_counter> sums_; // outgoing packets, incoming bytes
};

TEST_F(Ledger, AFlowThatGoesOnHasARecordEveryMinuteWithWhatItCountedSince) {
    look({flow(1, 10, 5, 1000)}, 1000);
    EXPECT_FALSE(ledger_.has_due());
    look({flow(1, 600, 300, 60'000)}, 60'000);
    const auto first = hand_over(60'000);
    ASSERT_EQ(first.size(), 1U);
    EXPECT_EQ(first[0].counters[KUDO_EGRESS].packets, 600U);
    EXPECT_EQ(first[0].counters[KUDO_INGRESS].bytes, 60'000U);
    EXPECT_EQ(first[0].end, FlowEnd::Active);
    EXPECT_EQ(first[0].start, wall_start);
    look({flow(1, 900, 450, 90'000)}, 90'000);
    EXPECT_FALSE(ledger_.has_due());
    look({flow(1, 1200, 600, 120'000)}, 120'000);
    const auto second = hand_over(120'000);
    ASSERT_EQ(second.size(), 1U);
    EXPECT_EQ(second[0].counters[KUDO_EGRESS].packets, 600U);
    EXPECT_EQ(second[0].start, first[0].stop);
    EXPECT_EQ(second[0].flow_id, first[0].flow_id);
    EXPECT_NE(second[0].flow_id, 0U);
}

TEST_F(Ledger, AnIdleFlowHasItsRecordSoonAndNoOtherWithoutPackets) {
    look({flow(1, 10, 5, 1000)}, 1000);
    look({flow(1, 10, 5, 16'000, 1000)}, 16'000);
    const auto records = hand_over(16'000);
    ASSERT_EQ(records.size(), 1U);
    EXPECT_EQ(records[0].end, FlowEnd::Idle);
    look({flow(1, 10, 5, 200'000, 1000)}, 200'000);
    EXPECT_FALSE(ledger_.has_due());
    look({flow(1, 11, 5, 201'000)}, 201'000);
    EXPECT_FALSE(ledger_.has_due()) << "its minute begins now";
    look({flow(1, 11, 5, 262'000, 201'000)}, 262'000);
    ASSERT_EQ(hand_over(262'000).size(), 1U);
    EXPECT_EQ(sums_[1].packets, 11U);
}

TEST_F(Ledger, WhatWasNotHandedOverIsDueAgainWithWhatCameSince) {
    look({flow(1, 600, 0, 60'000), flow(2, 60, 0, 60'000)}, 60'000);
    EXPECT_EQ(ledger_.take(10, at(60'000)).size(), 2U);
    EXPECT_TRUE(ledger_.take(10, at(60'000)).empty()) << "one batch at a time";
    look({flow(1, 700, 0, 75'000), flow(2, 70, 0, 75'000)}, 75'000);
    ledger_.handed_over(0, at(75'000)); // the collector was not there
    for (const DataRecord& record : hand_over(75'000))
        EXPECT_EQ(record.counters[KUDO_EGRESS].packets, record.flow.local_port == 1 ? 700U : 70U);
    EXPECT_EQ(sums_[1].packets, 700U);
}

TEST_F(Ledger, OfABatchWhoseFirstRecordWasHandedOverTheRestIsDue) {
    look({flow(1, 1, 0, 60'000), flow(2, 2, 0, 60'000), flow(3, 3, 0, 60'000)}, 60'000);
    const auto batch = ledger_.take(3, at(60'000));
    ASSERT_EQ(batch.size(), 3U);
    ledger_.handed_over(1, at(60'000));
    EXPECT_EQ(hand_over(60'000).size(), 2U);
    EXPECT_EQ(sums_.count(batch[0].flow.local_port), 0U);
}

// A collector that is away for a day: its worker keeps the batch, and flows come and go.
TEST_F(Ledger, WhatWaitsForABatchInFlightIsBounded) {
    look({flow(1, 7, 0, 60'000)}, 60'000);
    ASSERT_EQ(ledger_.take(1, at(60'000)).size(), 1U);
    constexpr std::size_t rows = 10'000, looks = 20;
    for (std::size_t i = 0; i < looks; i++) {
        std::vector<SeenFlow> flows;
        for (std::size_t port = 0; port < rows; port++) {
            flows.push_back(flow(static_cast<uint16_t>(2 + port), 3, 0, 75'000));
            flows.back().record.flow.remote_port = static_cast<uint16_t>(i);
        }
        look(flows, 75'000 + static_cast<int64_t>(15'000 * i));
        EXPECT_LE(ledger_.size(), 2 * rows + FlowLedger::max_ended + 1);
    }
    constexpr std::size_t ended = (looks - 2) * rows + 1;
    EXPECT_EQ(ledger_.forgotten_packets(), 3 * (ended - FlowLedger::max_ended));
    // The flow that is in flight is still known, and goes on.
    look({flow(1, 9, 0, 400'000)}, 400'000);
    ledger_.handed_over(1, at(400'000));
    hand_over(500'000, max_batch);
    EXPECT_EQ(sums_[1].packets, 2U) << "7 are in the record that was in flight";
}

TEST_F(Ledger, AFlowThatBeganAgainAtZeroLosesNothing) {
    look({flow(1, 100, 0, 10'000)}, 10'000);
    // Evicted and entered anew at 12 s; it has more packets by then than before.
    look({flow(1, 150, 0, 25'000, -1, 12'000)}, 25'000);
    look({flow(1, 20, 0, 40'000, -1, 30'000)}, 40'000);
    look({flow(1, 20, 0, 100'000, 40'000, 30'000)}, 100'000);
    hand_over(100'000);
    EXPECT_EQ(sums_[1].packets, 270U);
}

// Within a second and a half of a look, or with a table that is new: neither its count nor its age is lower than that.
TEST_F(Ledger, AFlowThatBeganAgainWithANewTableLosesNothing) {
    look({flow(1, 100, 0, 0)}, 0);
    EXPECT_TRUE(ledger_.end_all(at(0))) << "100 packets are nowhere else";
    EXPECT_TRUE(ledger_.look(std::vector{flow(1, 150, 0, 15'000, -1, 500)}, at(15'000)));
    hand_over(90'000);
    look({flow(1, 150, 0, 90'000, 15'000, 500)}, 90'000);
    hand_over(90'000);
    EXPECT_EQ(sums_[1].packets, 250U);
}

TEST_F(Ledger, AFlowThatBeganAgainSoonAfterALookLosesNothing) {
    look({flow(1, 100, 0, 60'000)}, 60'000);
    EXPECT_FALSE(ledger_.look(std::vector{flow(1, 120, 0, 61'000)}, at(61'000)));
    EXPECT_TRUE(ledger_.look(std::vector{flow(1, 150, 0, 75'000, -1, 61'500)}, at(75'000)));
    hand_over(90'000);
    EXPECT_EQ(sums_[1].packets, 270U);
}

// The same tuple after a reboot, as a well-known port has.
TEST_F(Ledger, AFlowThatBeganAgainAfterARebootLosesNothing) {
    look({flow(1, 100, 0, 60'000)}, 60'000);
    const std::string saved = ledger_.write("another boot");
    ledger_ = FlowLedger(timeouts);
    ASSERT_TRUE(ledger_.read(saved, boot, at(5000)));
    look({flow(1, 150, 0, 6000)}, 6000);
    look({flow(1, 150, 0, 80'000, 6000)}, 80'000);
    hand_over(80'000);
    EXPECT_EQ(sums_[1].packets, 250U);
}

// The clock of the machine is set back and forth.
TEST_F(Ledger, AStepOfTheClockCountsNothingTwice) {
    look({flow(1, 100, 0, 10'000)}, 10'000);
    SeenFlow stepped = flow(1, 200, 0, 70'000);
    stepped.record.first_seen += 3'600'000;
    stepped.record.stop += 3'600'000;
    look({stepped}, 70'000);
    hand_over(70'000);
    EXPECT_EQ(sums_[1].packets, 200U);
}

TEST_F(Ledger, AFlowThatIsGoneHasALastRecordAndIsForgotten) {
    look({flow(1, 100, 0, 1000)}, 1000);
    look({}, 2000);
    EXPECT_FALSE(ledger_.has_due()) << "one look may miss a row";
    look({}, 3000);
    const auto records = hand_over(3000);
    ASSERT_EQ(records.size(), 1U);
    EXPECT_EQ(records[0].end, FlowEnd::NoRoom);
    look({}, 4000);
    EXPECT_TRUE(ledger_.empty());
}

TEST_F(Ledger, AFlowThatOneLookMissedIsNotCountedAgain) {
    look({flow(1, 100, 0, 1000)}, 1000);
    look({}, 2000);
    look({flow(1, 110, 0, 61'000)}, 61'000);
    hand_over(61'000);
    EXPECT_EQ(sums_[1].packets, 110U);
}

TEST_F(Ledger, DisableEndsAllFlows) {
    look({flow(1, 100, 0, 1000)}, 1000);
    ledger_.end_all(at(2000));
    const auto records = hand_over(2000);
    ASSERT_EQ(records.size(), 1U);
    EXPECT_EQ(records[0].end, FlowEnd::Forced);
    ledger_.end_all(at(3000));
    EXPECT_TRUE(ledger_.empty());
}

TEST_F(Ledger, TheDeltasGoOnOverARestart) {
    look({flow(1, 100, 0, 60'000), flow(2, 5, 0, 60'000, -1, 59'000)}, 60'000);
    EXPECT_EQ(hand_over(60'000).size(), 1U);
    look({flow(1, 120, 0, 61'000), flow(2, 9, 0, 61'000, -1, 59'000)}, 61'000);
    const std::string saved = ledger_.write(boot);
    look({flow(1, 130, 0, 62'000), flow(2, 9, 0, 62'000, -1, 59'000)}, 62'000); // what the file does not know
    ledger_ = FlowLedger(timeouts);
    ASSERT_TRUE(ledger_.read(saved, boot, at(70'000)));
    look({flow(1, 400, 0, 130'000), flow(2, 9, 0, 130'000, 61'000, 59'000)}, 130'000);
    hand_over(130'000);
    EXPECT_EQ(sums_[1].packets, 400U);
    EXPECT_EQ(sums_[2].packets, 9U);
}

TEST_F(Ledger, AfterARebootWhatWasOwedIsStillOwed) {
    look({flow(1, 100, 0, 1000)}, 1000);
    const std::string saved = ledger_.write("another boot");
    ledger_ = FlowLedger(timeouts);
    ASSERT_TRUE(ledger_.read(saved, boot, at(5000)));
    const auto records = hand_over(5000);
    ASSERT_EQ(records.size(), 1U);
    EXPECT_EQ(records[0].end, FlowEnd::Forced);
    EXPECT_EQ(sums_[1].packets, 100U);
}

// As a file may be that was damaged.
TEST_F(Ledger, WhatALedgerHasTwiceIsOneFlow) {
    look({flow(1, 100, 0, 1000)}, 1000);
    std::string saved = ledger_.write("another boot");
    constexpr std::size_t head = 32 + 64 + 3 * 8, count_at = 32 + 64 + 8;
    EXPECT_LE(saved.size(), FlowLedger::max_text(1));
    saved += saved.substr(head);
    saved[count_at] = 2;
    ledger_ = FlowLedger(timeouts);
    ASSERT_TRUE(ledger_.read(saved, boot, at(5000)));
    hand_over(5000);
    EXPECT_EQ(sums_[1].packets, 100U);
    look({}, 6000);
    EXPECT_TRUE(ledger_.empty());
}

TEST_F(Ledger, WhatIsNoLedgerIsNotRead) {
    look({flow(1, 100, 0, 1000)}, 1000);
    const std::string saved = ledger_.write(boot);
    for (const std::string& wrong : {std::string(), saved.substr(0, 50), saved.substr(0, saved.size() - 1), saved + "x",
                                     std::string(saved.size(), '\0')}) {
        FlowLedger other(timeouts);
        EXPECT_FALSE(other.read(wrong, boot, at(0))) << wrong.size();
        EXPECT_TRUE(other.empty());
    }
}

TEST_F(Ledger, TenThousandFlowsAreAllHandedOverInBatches) {
    std::vector<SeenFlow> flows;
    for (uint16_t port = 1; port <= 10'000; port++)
        flows.push_back(flow(port, port, 0, 60'000));
    look(flows, 60'000);
    EXPECT_EQ(hand_over(60'000, max_batch).size(), 10'000U);
    EXPECT_FALSE(ledger_.has_due());
}

// ICMP has no ports, so nothing else tells it from its fragments.
TEST_F(Ledger, OfAFlowAndItsFragmentsOneThatGoesIsNotCountedAgain) {
    Diagnosis diagnosis;
    FlowRecord row;
    row.protocol = IPPROTO_ICMP;
    row.local = *Address::parse("10.77.0.2");
    row.remote = *Address::parse("3.123.12.129");
    row.counters[KUDO_EGRESS] = {100, 10'000};
    diagnosis.statistics.flows.push_back(row);
    row.non_first_fragment = true;
    row.counters[KUDO_EGRESS] = {30, 3000};
    diagnosis.statistics.flows.push_back(row);
    diagnosis.statistics.read_at += std::chrono::seconds(1);
    look(seen_flows(diagnosis), 1000);
    diagnosis.statistics.flows.pop_back();
    for (const int64_t time : {60'000, 75'000}) {
        diagnosis.statistics.read_at += milliseconds(time) - diagnosis.statistics.read_at.time_since_epoch();
        look(seen_flows(diagnosis), time);
    }
    EXPECT_EQ(hand_over(75'000).size(), 2U);
    EXPECT_EQ(sums_[0].packets, 130U);
}

TEST(FlowDestination, IsWhatItSays) {
    using Kind = FlowDestination::Kind;
    const auto tcp = parse_flow_destination("ipfix:tcp:collector.example.com:4739");
    ASSERT_TRUE(tcp);
    EXPECT_EQ(tcp->kind, Kind::Tcp);
    EXPECT_EQ(tcp->host, "collector.example.com");
    EXPECT_EQ(tcp->port, 4739);
    const auto tls = parse_flow_destination("ipfix:tls:[2001:db8::1]:4740");
    ASSERT_TRUE(tls);
    EXPECT_EQ(tls->host, "2001:db8::1");
    EXPECT_EQ(parse_flow_destination("json:/var/log/kudo-agent/flows.json")->path, "/var/log/kudo-agent/flows.json");
    EXPECT_EQ(parse_flow_destination("json:journal")->kind, Kind::Journal);
    for (const char* wrong : {"",
                              "ipfix",
                              "ipfix:tcp:",
                              "ipfix:tcp:host",
                              "ipfix:tcp:host:0",
                              "ipfix:tcp:host:65536",
                              "ipfix:tcp:host:1x",
                              "ipfix:tcp::4739",
                              "ipfix:tcp:2001:db8::1:4739",
                              "ipfix:tcp:[host]:4739",
                              "ipfix:sctp:host:4739",
                              "ipfix:tcp:a b:4739",
                              "ipfix:tcp:user@host:4739",
                              "ipfix:tcp:-x:4739",
                              "json:",
                              "json:relative",
                              "json:/",
                              "json:/folder/",
                              "json:stdout",
                              "udp:host:4739"})
        EXPECT_FALSE(parse_flow_destination(wrong)) << wrong;
}

TEST(FlowRecordLine, IsOneLineOfJson) {
    DataRecord record = flow(40000, 7, 3, 5000).record;
    record.interface[0] = '\xff'; // an interface may be called so
    record.interface[1] = '\n';
    record.jitter_us = 1500;
    record.upstream_lost = 4;
    const std::string line = json_line(record);
    EXPECT_EQ(line.find('\n'), std::string::npos);
    const auto json = nlohmann::json::parse(line);
    EXPECT_EQ(json.at("protocol"), "udp");
    EXPECT_EQ(json.at("local"), "10.77.0.2");
    EXPECT_EQ(json.at("egress").at("packets"), 7);
    EXPECT_EQ(json.at("ingress").at("bytes"), 600);
    EXPECT_EQ(json.at("service"), nullptr);
    EXPECT_EQ(json.at("start"), "2023-11-14T22:13:20.000Z");
    EXPECT_EQ(json.at("jitter_ms"), 1.5);
    EXPECT_EQ(json.at("rtt_ms"), nullptr);
    EXPECT_EQ(json.at("lost").at("upstream"), 4);
    EXPECT_EQ(json.at("lost").at("host").at("egress"), nullptr);
}

TEST(FlowRecordBatch, IsTakenOutWholeOrNotAtAll) {
    const std::vector<DataRecord> records = {flow(1, 1, 1, 1).record, flow(2, 2, 2, 2).record};
    const std::string text = write_batch(records);
    std::string buffer = text.substr(0, text.size() - 1);
    EXPECT_FALSE(take_batch(buffer)->has_value());
    buffer = text + text;
    EXPECT_EQ((*take_batch(buffer))->size(), 2U);
    EXPECT_EQ(buffer, text);
    buffer = "\xff\xff\xff\xff" + text;
    EXPECT_FALSE(take_batch(buffer));
}

TEST(FlowRecordNews, IsBoundedAndNothingElse) {
    std::string buffer = write_news({.problem = "a\x1b[31m" + std::string(5000, 'x')}) + write_news({.handed_over = 7});
    const auto problem = take_news(buffer);
    ASSERT_TRUE(problem && *problem);
    EXPECT_LE((*problem)->problem.size(), 1100U);
    EXPECT_EQ((*problem)->problem.find('\x1b'), std::string::npos);
    EXPECT_EQ((*take_news(buffer))->handed_over, 7U);
    EXPECT_FALSE(take_news(buffer)->has_value());
    buffer = "xxxxxxxxxxx";
    EXPECT_FALSE(take_news(buffer));
    buffer = std::string("h\xff\xff\xff\x7f", 5);
    EXPECT_FALSE(take_news(buffer)) << "more than a batch has";
}

// RFC 7011 section 3.1: version, length, export time, sequence number, domain.
TEST(IpfixMessages, AreSmallWholeAndInSequence) {
    auto encoder = IpfixEncoder::make(32473, 7);
    ASSERT_TRUE(encoder) << encoder.error().message;
    std::vector<DataRecord> records;
    for (uint16_t port = 1; port <= 50; port++) {
        records.push_back(flow(port, 1, 1, 1).record);
        records.back().flow.family = port % 2 == 0 ? 4 : 6;
        std::string(79, 's').copy(records.back().service, 79);
    }
    uint32_t data_records = 0;
    IpfixReader reader;
    for (int round = 0; round < 2; round++) {
        for (auto made : {encoder->templates(), encoder->records(records)}) {
            ASSERT_TRUE(made) << made.error().message;
            ASSERT_FALSE(made->empty());
            for (const std::string& message : *made) {
                EXPECT_EQ(ipfix_number(message, 0, 2), 10U);
                EXPECT_EQ(ipfix_number(message, 2, 2), message.size());
                EXPECT_LE(message.size(), max_message);
                EXPECT_EQ(ipfix_number(message, 8, 4), data_records) << "that were sent before it";
                EXPECT_EQ(ipfix_number(message, 12, 4), 7U);
                data_records += reader.read(message);
            }
        }
    }
    EXPECT_EQ(data_records, 2U * (11 + 50)); // types of our elements, flows
    EXPECT_EQ(reader.types(), (std::set<uint64_t>{1, 2, 3, 4, 5, 6, 7, 8, 9, 16384 + 5, 16384 + 6}));
}

// Numbers in network order, by elements that no library knows.
TEST(IpfixMessages, CarryWhatOnlyKudoAgentKnows) {
    auto encoder = IpfixEncoder::make(32473, 7);
    ASSERT_TRUE(encoder) << encoder.error().message;
    DataRecord record = flow(40000, 1, 1, 1).record;
    record.class_ = KUDO_CLASS_MEDIA;
    record.reason = KUDO_REASON_RULE;
    record.upstream_lost = 0x0102;
    record.host_lost[KUDO_EGRESS] = 3;
    record.host_lost[KUDO_INGRESS] = 0x0405;
    record.queue_lost[KUDO_EGRESS] = 6;
    record.queue_lost[KUDO_INGRESS] = 7;
    record.jitter_us = 7052;
    record.rtt_us = 21504;
    std::string("media").copy(record.service, 5);
    IpfixReader reader;
    for (auto made : {encoder->templates(), encoder->records({&record, 1})}) {
        ASSERT_TRUE(made) << made.error().message;
        for (const std::string& message : *made)
            reader.read(message);
    }
    ASSERT_FALSE(reader.records().empty());
    const IpfixValues& values = reader.records().back();
    const auto own = [&](uint32_t element) { return values.at({32473, element}); };
    EXPECT_EQ(own(1), "media");
    EXPECT_EQ(own(2), "media");
    EXPECT_EQ(own(3), "rule");
    const std::map<uint32_t, uint64_t> expected = {{4, 0x0102},    {5, 3},    {16384 + 5, 0x0405}, {6, 6},
                                                   {16384 + 6, 7}, {7, 7052}, {8, 21504}};
    for (const auto& [element, value] : expected)
        EXPECT_EQ(ipfix_number(own(element), 0, own(element).size()), value) << element;
}

} // namespace
} // namespace kudo
