// SPDX-License-Identifier: MIT
// Verdicts: what follows from what was counted, and that nothing else does.
// Invariant: each test names one behaviour; every signature is named by its own evidence and by no normal traffic.
#include <chrono>

#include <gtest/gtest.h>
#include <netinet/in.h>

#include "agent/diagnosis/diagnosis.h"
#include "agent/diagnosis/host_findings.h"
#include "agent/diagnosis/recent_losses.h"
#include "agent/diagnosis/series.h"

namespace kudo {
namespace {

using namespace std::chrono_literals;

const auto noon = std::chrono::sys_days{std::chrono::year{2026} / 3 / 1} + 12h;

FlowRecord media_flow(uint16_t local_port = 40000) {
    FlowRecord flow;
    flow.protocol = IPPROTO_UDP;
    flow.local = Address::parse("10.0.0.1").value();
    flow.local_port = local_port;
    flow.remote = Address::parse("3.123.12.130").value();
    flow.remote_port = 3478;
    flow.interface = "eth0";
    flow.interface_index = 2;
    flow.service = "media";
    flow.class_ = KUDO_CLASS_MEDIA;
    flow.verdict = KUDO_PRIORITISED;
    flow.reason = KUDO_REASON_RULE;
    flow.range = Prefix::parse("3.123.12.128/28").value();
    flow.counters[KUDO_INGRESS] = {1000, 200'000};
    flow.counters[KUDO_EGRESS] = {1000, 200'000};
    flow.first_seen = noon - 60s;
    flow.last_seen = noon;
    return flow;
}

RtpStream incoming(uint32_t ssrc, uint64_t unique, uint64_t lost) {
    RtpStream stream;
    stream.ssrc = ssrc;
    stream.direction = KUDO_INGRESS;
    stream.what.kind = KUDO_RTP_AUDIO;
    RtpQuality quality;
    quality.unique = unique;
    quality.lost = lost;
    quality.first_packet = noon - 60s;
    quality.last_packet = noon;
    stream.quality = quality;
    return stream;
}

Diagnosis diagnosis_of(std::vector<FlowRecord> flows) {
    Diagnosis diagnosis;
    diagnosis.drops_measured = true;
    diagnosis.statistics.read_at = noon;
    diagnosis.statistics.flows = std::move(flows);
    return diagnosis;
}

DiagnosedDrop drop_of(DropLayer layer, std::string reason, uint64_t packets, kudo_direction direction = KUDO_INGRESS) {
    DiagnosedDrop drop;
    drop.drop.layer = layer;
    drop.drop.reason = std::move(reason);
    drop.drop.place = "somewhere+0x1";
    drop.drop.counters[direction] = {packets, packets * 200};
    drop.drop.first_seen = noon - 60s;
    drop.drop.last_seen = noon;
    const FlowRecord flow = media_flow();
    drop.drop.flow = FlowOfDrop{.protocol = flow.protocol,
                                .local = flow.local,
                                .remote = flow.remote,
                                .local_port = flow.local_port,
                                .remote_port = flow.remote_port,
                                .non_first_fragment = false,
                                .interface_index = 2};
    drop.flow = 0;
    return drop;
}

std::vector<std::string> names_of(const Diagnosis& diagnosis) {
    std::vector<std::string> names;
    for (const Finding& finding : diagnosis.verdict.findings)
        names.push_back(finding.name);
    return names;
}

TEST(Verdict, OfNormalTrafficIsNone) {
    FlowRecord flow = media_flow();
    flow.streams = {incoming(1, 1000, 0), incoming(2, 3000, 0)};
    flow.probe = FlowProbe{.requests = 24, .responses = 24, .rtt = RoundTrips{24, 20, 25, 18, 21}};
    Diagnosis diagnosis = diagnosis_of({flow});
    judge_losses(diagnosis);
    EXPECT_EQ(diagnosis.verdict.where, LossPlace::None);
    EXPECT_TRUE(diagnosis.verdict.findings.empty()) << names_of(diagnosis).front();
    EXPECT_EQ(diagnosis.flows.at(0).verdict.where, LossPlace::None);
}

TEST(Verdict, IsUnknownWhereDropsAreNotMeasured) {
    Diagnosis diagnosis = diagnosis_of({media_flow()});
    diagnosis.drops_measured = false;
    diagnosis.drops_why_not = "CAP_PERFMON is missing";
    judge_losses(diagnosis);
    EXPECT_EQ(diagnosis.verdict.where, LossPlace::Unknown);
    EXPECT_NE(diagnosis.verdict.summary.find("CAP_PERFMON"), std::string::npos);
}

TEST(Verdict, NamesTheRuleThatDrops) {
    Diagnosis diagnosis = diagnosis_of({media_flow()});
    DiagnosedDrop drop = drop_of(DropLayer::Firewall, "NETFILTER_DROP", 250);
    drop.owner.kind = DropOwner::Kind::Rule;
    drop.owner.certain = true;
    drop.owner.rules.push_back(
        {.family = "inet", .table = "filter", .chain = "input", .handle = 5, .text = "udp dport 1 drop"});
    drop.owner.text = "inet filter input handle 5: udp dport 1 drop";
    diagnosis.drops = {drop};
    diagnosis.flows[0].dropped[KUDO_INGRESS] = {250, 50'000};
    judge_losses(diagnosis);
    EXPECT_EQ(diagnosis.verdict.where, LossPlace::Host);
    EXPECT_EQ(diagnosis.verdict.layer, "firewall");
    EXPECT_EQ(diagnosis.verdict.confidence, Confidence::Certain);
    EXPECT_NE(diagnosis.verdict.summary.find("250 of 1000 packets (25 %)"), std::string::npos)
        << diagnosis.verdict.summary;
    EXPECT_NE(diagnosis.verdict.summary.find("handle 5"), std::string::npos);
    EXPECT_EQ(diagnosis.flows.at(0).verdict.where, LossPlace::Host);
}

TEST(Verdict, OfAFullReceiveBufferIsTheApplications) {
    Diagnosis diagnosis = diagnosis_of({media_flow()});
    DiagnosedDrop drop = drop_of(DropLayer::Socket, "SOCKET_RCVBUFF", 100);
    drop.owner.kind = DropOwner::Kind::Socket;
    drop.owner.text = "chrome (pid 7), local port 40000";
    drop.owner.receive_buffer = 212'992; // as kernels come: not small
    diagnosis.drops = {drop};
    judge_losses(diagnosis);
    EXPECT_EQ(diagnosis.verdict.where, LossPlace::Application);
    EXPECT_EQ(names_of(diagnosis), std::vector<std::string>{"socket_buffer"});
    EXPECT_NE(diagnosis.verdict.summary.find("chrome"), std::string::npos);
    diagnosis.drops[0].owner.receive_buffer = 212'991;
    judge_losses(diagnosis);
    EXPECT_EQ(names_of(diagnosis), std::vector<std::string>{"small_socket_buffer"});
}

TEST(Verdict, WhatIsNoLossAndWhatIsOursIsNotTold) {
    Diagnosis diagnosis = diagnosis_of({media_flow()});
    DiagnosedDrop purged = drop_of(DropLayer::Socket, "QUEUE_PURGE", 10);
    purged.drop.is_loss = false;
    DiagnosedDrop ours = drop_of(DropLayer::Tc, "TC_INGRESS", 10);
    ours.drop.is_ours = true;
    diagnosis.drops = {purged, ours};
    judge_losses(diagnosis);
    EXPECT_EQ(diagnosis.verdict.where, LossPlace::None);
}

TEST(Verdict, NamesConnectionTrackingThatIsFull) {
    Diagnosis diagnosis = diagnosis_of({media_flow()});
    DiagnosedDrop drop = drop_of(DropLayer::Conntrack, "NETFILTER_DROP", 100);
    drop.owner.kind = DropOwner::Kind::Conntrack;
    drop.owner.certain = true;
    diagnosis.drops = {drop};
    judge_losses(diagnosis);
    EXPECT_EQ(names_of(diagnosis), std::vector<std::string>{"conntrack_full"});
    EXPECT_EQ(diagnosis.verdict.layer, "conntrack");
}

TEST(Verdict, OfPacketsThatNeverArrivedIsBeforeThisHost) {
    FlowRecord flow = media_flow();
    flow.streams = {incoming(1, 950, 50)};
    Diagnosis diagnosis = diagnosis_of({flow});
    judge_losses(diagnosis);
    EXPECT_EQ(diagnosis.verdict.where, LossPlace::BeforeHost);
    EXPECT_EQ(names_of(diagnosis), std::vector<std::string>{"network_loss"});
    EXPECT_NE(diagnosis.verdict.summary.find("50 of 1000 packets (5.0 %)"), std::string::npos)
        << diagnosis.verdict.summary;
}

TEST(Verdict, WhatAnXdpProgramDroppedIsNotTheNetworks) {
    FlowRecord flow = media_flow();
    flow.streams = {incoming(1, 950, 50)};
    Diagnosis diagnosis = diagnosis_of({flow});
    diagnosis.drops = {drop_of(DropLayer::Xdp, "XDP", 50)};
    diagnosis.flows[0].dropped_uncounted = 50;
    judge_losses(diagnosis);
    EXPECT_EQ(diagnosis.verdict.where, LossPlace::Host);
    EXPECT_EQ(names_of(diagnosis), std::vector<std::string>{"foreign_program"});
}

TEST(Verdict, WhatNobodyAskedForIsNoLossOfACall) {
    FlowRecord flow = media_flow();
    flow.counters[KUDO_EGRESS] = {};
    Diagnosis diagnosis = diagnosis_of({flow});
    diagnosis.drops = {drop_of(DropLayer::Firewall, "NETFILTER_DROP", 500)};
    judge_losses(diagnosis);
    EXPECT_EQ(diagnosis.verdict.where, LossPlace::None);
    ASSERT_EQ(names_of(diagnosis), std::vector<std::string>{"unsolicited"});
    EXPECT_EQ(diagnosis.verdict.findings.front().advice.find("accept"), std::string::npos);
    EXPECT_EQ(share_of_flow(diagnosis, diagnosis.drops.front(), KUDO_INGRESS), 0);
}

TEST(Verdict, ALossThatIsOverIsPast) {
    FlowRecord flow = media_flow();
    flow.streams = {incoming(1, 9000, 200)};
    for (int second = 63; second > 0; --second)
        flow.streams[0].quality->seconds.push_back({.begin = noon - second * 1s, .received = 50, .missing = 0});
    Diagnosis diagnosis = diagnosis_of({flow});
    judge_losses(diagnosis);
    EXPECT_EQ(diagnosis.verdict.where, LossPlace::None);
    ASSERT_EQ(names_of(diagnosis), std::vector<std::string>{"network_loss"});
    flow.streams[0].quality->seconds.back().missing = 1;
    diagnosis = diagnosis_of({flow});
    judge_losses(diagnosis);
    EXPECT_EQ(diagnosis.verdict.where, LossPlace::BeforeHost);
}

TEST(Verdict, TheWorseLossComesFirst) {
    FlowRecord flow = media_flow();
    flow.streams = {incoming(1, 990, 10)};
    Diagnosis diagnosis = diagnosis_of({flow});
    diagnosis.drops = {drop_of(DropLayer::Queue, "QDISC_DROP", 300, KUDO_EGRESS)};
    judge_losses(diagnosis);
    EXPECT_EQ(names_of(diagnosis), (std::vector<std::string>{"queue_full", "network_loss"}));
    EXPECT_EQ(diagnosis.verdict.layer, "queue");
}

TEST(Verdict, OfWhatIsOverIsNone) {
    Diagnosis diagnosis = diagnosis_of({media_flow()});
    DiagnosedDrop old = drop_of(DropLayer::Firewall, "NETFILTER_DROP", 500);
    old.drop.last_seen = noon - 11min;
    diagnosis.drops = {old};
    judge_losses(diagnosis);
    EXPECT_EQ(diagnosis.verdict.where, LossPlace::None);
    EXPECT_NE(diagnosis.verdict.summary.find("earlier"), std::string::npos) << diagnosis.verdict.summary;
    ASSERT_EQ(diagnosis.verdict.findings.size(), 1U);
    EXPECT_TRUE(diagnosis.verdict.findings.front().past);
}

FlowRecord flow_with_outages(std::size_t streams, std::vector<std::chrono::milliseconds> outages) {
    FlowRecord flow = media_flow();
    for (uint32_t i = 0; i < streams; ++i) {
        RtpStream stream = incoming(i + 1, 2000, 200);
        auto begin = noon - 50s + i * 10ms;
        for (const auto duration : outages) {
            stream.quality->outages.push_back(
                {.begin = begin, .duration = duration, .missing = 60, .rate_before = 500});
            begin += 10s;
        }
        flow.streams.push_back(stream);
    }
    return flow;
}

TEST(Signature, StreamsThatStopTogetherAgainAndAgainAreFloodControl) {
    Diagnosis diagnosis = diagnosis_of({flow_with_outages(2, {1500ms, 1200ms, 1700ms})});
    judge_losses(diagnosis);
    EXPECT_EQ(names_of(diagnosis), std::vector<std::string>{"flood_control"});
    EXPECT_NE(diagnosis.verdict.advice.find("1000 packets/s"), std::string::npos) << diagnosis.verdict.advice;
}

TEST(Signature, OneOutageIsNoFloodControl) {
    Diagnosis diagnosis = diagnosis_of({flow_with_outages(2, {1500ms})});
    judge_losses(diagnosis);
    EXPECT_EQ(names_of(diagnosis), std::vector<std::string>{"network_loss"});
}

TEST(Signature, OutagesOfOneStreamAloneAreNoFloodControl) {
    FlowRecord flow = flow_with_outages(1, {1500ms, 1200ms});
    flow.streams.push_back(incoming(9, 3000, 0));
    Diagnosis diagnosis = diagnosis_of({flow});
    judge_losses(diagnosis);
    EXPECT_EQ(names_of(diagnosis), std::vector<std::string>{"network_loss"});
}

TEST(Signature, ASteadyRateOfWhichTheRestIsMissingIsFloodControl) {
    FlowRecord flow = media_flow();
    RtpStream stream = incoming(1, 10000, 2000);
    for (int second = 20; second > 0; --second)
        stream.quality->seconds.push_back(
            {.begin = noon - second * 1s, .received = 500, .missing = second > 15 ? 0U : 100U});
    flow.streams = {stream};
    Diagnosis diagnosis = diagnosis_of({flow});
    judge_losses(diagnosis);
    EXPECT_EQ(names_of(diagnosis), std::vector<std::string>{"flood_control"});
    EXPECT_NE(diagnosis.verdict.advice.find("500 packets/s"), std::string::npos) << diagnosis.verdict.advice;
}

FlowRecord unanswered_flow() {
    FlowRecord flow = media_flow();
    flow.counters[KUDO_INGRESS] = {};
    flow.probe = FlowProbe{.requests = 4, .unanswered = 4, .retransmitted = 20, .last_request = noon};
    return flow;
}

FlowRecord fallback_flow() {
    FlowRecord flow = media_flow(50000);
    flow.protocol = IPPROTO_TCP;
    flow.remote_port = 443;
    flow.class_ = KUDO_CLASS_FALLBACK;
    flow.counters[KUDO_INGRESS] = {5000, 4'000'000};
    return flow;
}

TEST(Signature, UdpWithoutAnAnswerBesideTcpIsBlockedUdp) {
    Diagnosis diagnosis = diagnosis_of({unanswered_flow(), fallback_flow()});
    judge_losses(diagnosis);
    EXPECT_EQ(names_of(diagnosis), std::vector<std::string>{"udp_blocked"});
    EXPECT_EQ(diagnosis.verdict.confidence, Confidence::Likely);
}

TEST(Signature, UdpWithoutAnAnswerAloneMayAlsoBeAServerThatIsNotThere) {
    Diagnosis diagnosis = diagnosis_of({unanswered_flow()});
    judge_losses(diagnosis);
    EXPECT_EQ(names_of(diagnosis), std::vector<std::string>{"udp_unanswered"});
    EXPECT_EQ(diagnosis.verdict.confidence, Confidence::Possible);
}

TEST(Signature, UdpThatThisHostDropsIsNotBlockedElsewhere) {
    Diagnosis diagnosis = diagnosis_of({unanswered_flow(), fallback_flow()});
    diagnosis.drops = {drop_of(DropLayer::Firewall, "NETFILTER_DROP", 24, KUDO_EGRESS)};
    diagnosis.flows[0].dropped[KUDO_EGRESS] = {24, 2400};
    judge_losses(diagnosis);
    EXPECT_EQ(names_of(diagnosis), std::vector<std::string>{"firewall_rule"});
}

FlowProbe rebound_after(std::chrono::milliseconds quiet) {
    FlowProbe probe{.requests = 30, .responses = 30};
    probe.mapped_changes = 1;
    probe.last_change = MappedChange{
        .before = {"203.0.113.7", 4000}, .after = {"203.0.113.7", 4711}, .time = noon - 60s, .quiet_before = quiet};
    return probe;
}

TEST(Signature, AnotherMappedAddressAfterASilenceIsASessionTimer) {
    FlowRecord flow = media_flow();
    flow.probe = rebound_after(31s);
    Diagnosis diagnosis = diagnosis_of({flow});
    judge_losses(diagnosis);
    EXPECT_EQ(names_of(diagnosis), std::vector<std::string>{"session_timer"});
    EXPECT_EQ(diagnosis.verdict.where, LossPlace::None) << "nothing was lost";
}

TEST(Signature, AnotherMappedAddressWithoutASilenceIsARebinding) {
    FlowRecord flow = media_flow();
    flow.probe = rebound_after(200ms);
    Diagnosis diagnosis = diagnosis_of({flow});
    judge_losses(diagnosis);
    EXPECT_EQ(names_of(diagnosis), std::vector<std::string>{"nat_rebinding"});
}

TEST(Signature, NothingIncomingWhileThisHostGoesOnSendingIsTold) {
    FlowRecord flow = media_flow();
    flow.probe = FlowProbe{.requests = 30, .responses = 20, .unanswered = 10};
    flow.probe->last_inbound = noon - 40s;
    flow.probe->last_request = noon - 1s;
    Diagnosis diagnosis = diagnosis_of({flow});
    judge_losses(diagnosis);
    EXPECT_EQ(names_of(diagnosis), std::vector<std::string>{"inbound_ended"});
    EXPECT_EQ(diagnosis.verdict.where, LossPlace::BeforeHost);
}

TEST(Signature, TcpThatIsMuchNearerThanStunIsInspectedTls) {
    FlowRecord udp = media_flow();
    udp.probe = FlowProbe{.requests = 9, .responses = 9, .rtt = RoundTrips{9, 90, 95, 88, 90}};
    Diagnosis diagnosis = diagnosis_of({udp, fallback_flow()});
    diagnosis.flows[1].tcp = TcpState{};
    diagnosis.flows[1].tcp->min_rtt = 2ms;
    judge_losses(diagnosis);
    EXPECT_EQ(names_of(diagnosis), std::vector<std::string>{"tls_inspected"});
    diagnosis.flows[1].tcp->min_rtt = 85ms;
    judge_losses(diagnosis);
    EXPECT_TRUE(diagnosis.verdict.findings.empty());
}

TEST(Signature, ConnectionsThatEndAfterTheirFirstMessageAreTold) {
    std::vector<FlowRecord> flows;
    for (uint16_t i = 0; i < 3; ++i) {
        FlowRecord flow = fallback_flow();
        flow.local_port = static_cast<uint16_t>(50000 + i);
        flow.counters[KUDO_INGRESS] = {3, 180};
        flow.counters[KUDO_EGRESS] = {4, 700};
        flow.first_seen = noon - 20s;
        flow.last_seen = noon - 19s;
        flows.push_back(flow);
    }
    Diagnosis diagnosis = diagnosis_of(flows);
    judge_losses(diagnosis);
    EXPECT_EQ(names_of(diagnosis), std::vector<std::string>{"tls_reset"});
}

TEST(Signature, RoundTripsThatGrowWithTheQueueAreAFullUplink) {
    FlowRecord flow = media_flow();
    flow.probe = FlowProbe{.requests = 99, .responses = 99, .rtt = RoundTrips{99, 40, 300, 20, 280, 5000, 9}};
    Diagnosis diagnosis = diagnosis_of({flow});
    judge_losses(diagnosis);
    EXPECT_EQ(names_of(diagnosis), std::vector<std::string>{"full_line"});
    QueueClass other{.carries = {"other"}};
    other.drops = 500;
    diagnosis.statistics.queues.push_back({"eth0", "egress", "htb", {other}});
    judge_losses(diagnosis);
    EXPECT_EQ(names_of(diagnosis), std::vector<std::string>{"full_uplink"});
}

TEST(Signature, AFewSlowRoundTripsAreNoFullLine) {
    const auto names_with = [](uint64_t count, uint64_t slow) {
        FlowRecord flow = media_flow();
        flow.probe = FlowProbe{.requests = count,
                               .responses = count,
                               .rtt = RoundTrips{count, 1, 63, 0.1, 1, 70, slow}}; // the largest is the 99 % of few
        Diagnosis diagnosis = diagnosis_of({flow});
        judge_losses(diagnosis);
        return names_of(diagnosis);
    };
    EXPECT_EQ(names_with(10, 1), std::vector<std::string>{});
    EXPECT_EQ(names_with(10, 2), std::vector<std::string>{});
    EXPECT_EQ(names_with(10, 3), std::vector<std::string>{"full_line"});
    EXPECT_EQ(names_with(101, 5), std::vector<std::string>{}) << "less than 5 %";
    EXPECT_EQ(names_with(100, 5), std::vector<std::string>{"full_line"});
}

TEST(Signature, ATunnelOnTheWayIsTold) {
    Diagnosis diagnosis = diagnosis_of({media_flow()});
    diagnosis.flows[0].by_tunnel = true;
    judge_losses(diagnosis);
    EXPECT_EQ(names_of(diagnosis), std::vector<std::string>{"tunnel"});
    EXPECT_EQ(diagnosis.verdict.where, LossPlace::None);
}

TEST(Series, KeepWhatWasCountedSince) {
    FlowRecord flow = media_flow();
    flow.streams = {incoming(1, 950, 50)};
    flow.probe = FlowProbe{.requests = 9, .responses = 8};
    Diagnosis before = diagnosis_of({flow, media_flow(40001)});
    before.drops = {drop_of(DropLayer::Firewall, "NETFILTER_DROP", 250)};
    Diagnosis now = before;
    now.statistics.flows[0].counters[KUDO_INGRESS] = {1100, 220'000};
    now.statistics.flows[0].streams[0].quality->lost = 53;
    now.statistics.flows[0].probe->requests = 12;
    now.drops[0].drop.counters[KUDO_INGRESS] = {260, 52'000};
    keep_growth(now, series_of(before));
    ASSERT_EQ(now.statistics.flows.size(), 1U) << "the other has counted nothing";
    EXPECT_EQ(now.statistics.flows[0].counters[KUDO_INGRESS].packets, 100U);
    EXPECT_EQ(now.statistics.flows[0].streams[0].quality->lost, 3U);
    EXPECT_EQ(now.statistics.flows[0].probe->requests, 3U);
    ASSERT_EQ(now.drops.size(), 1U);
    EXPECT_EQ(now.drops[0].drop.counters[KUDO_INGRESS].packets, 10U);
}

TEST(Series, FlowsThatHadNoRoomAreCounted) {
    const Diagnosis then = diagnosis_of({media_flow(), media_flow(40001)});
    const Series series = series_of(then, 1);
    EXPECT_EQ(flows_without_past(then, series, noon), 1U);
    EXPECT_EQ(flows_without_past(then, series, noon - 61s), 0U) << "they began later";
}

TEST(Series, WhatHasGoneDownBeganAgain) {
    const Diagnosis before = diagnosis_of({media_flow()});
    Diagnosis now = before;
    now.statistics.flows[0].counters = {};
    now.statistics.flows[0].counters[KUDO_INGRESS] = {7, 700};
    keep_growth(now, series_of(before));
    EXPECT_EQ(now.statistics.flows[0].counters[KUDO_INGRESS].packets, 7U);
}

TEST(RecentLosses, AreDegradedFromOnePercentOn) {
    RecentLosses losses{.measured = true,
                        .period = 61s,
                        .packets = 9,
                        .worst_share = 0.009,
                        .worst_flow = "udp a to b",
                        .layer = "socket"};
    EXPECT_FALSE(losses.is_degraded());
    losses.worst_share = 0.01;
    EXPECT_TRUE(losses.is_degraded());
    EXPECT_EQ(losses_text(losses),
              "this host lost 1.0 % of udp a to b in the last 61 s, in layer socket: see kudo-agent stats");
    losses.period.reset();
    EXPECT_NE(losses_text(losses).find("since it began"), std::string::npos);
}

} // namespace
} // namespace kudo
