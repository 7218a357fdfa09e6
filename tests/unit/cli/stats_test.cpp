// SPDX-License-Identifier: MIT
// Statistics and Status as JSON and as text: the names are a contract with programs.
// Invariant: each test names one behaviour.
#include <chrono>

#include <gtest/gtest.h>
#include <netinet/in.h>
#include <nlohmann/json.hpp>

#include "cli/views/stats_json.h"
#include "cli/views/stats_text.h"
#include "cli/views/stats_view.h"
#include "cli/views/status_view.h"

namespace kudo {
namespace {

using namespace std::chrono_literals;

const auto noon = std::chrono::sys_days{std::chrono::year{2022} / 3 / 1} + 12h;

FlowRecord media_flow() {
    FlowRecord flow;
    flow.protocol = IPPROTO_UDP;
    flow.local = Address::parse("10.0.0.1").value();
    flow.local_port = 40000;
    flow.remote = Address::parse("3.123.12.130").value();
    flow.remote_port = 3478;
    flow.interface = "eth0";
    flow.service = "media";
    flow.class_ = KUDO_CLASS_MEDIA;
    flow.verdict = KUDO_PRIORITISED;
    flow.reason = KUDO_REASON_RULE;
    flow.range = Prefix::parse("3.123.12.128/28").value();
    flow.generation = 7;
    flow.counters[KUDO_EGRESS] = {50, 6400};
    flow.first_seen = noon;
    flow.last_seen = noon + 250ms;
    return flow;
}

Statistics some_statistics() {
    Statistics statistics;
    statistics.generation = 7;
    statistics.read_at = noon + 5s;
    statistics.totals[KUDO_INGRESS] = {3, 300};
    statistics.totals[KUDO_EGRESS] = {57, 7000};
    statistics.reasons[KUDO_REASON_RULE][KUDO_EGRESS] = {50, 6400};
    statistics.reasons[KUDO_REASON_STRANGER][KUDO_EGRESS] = {7, 600};
    statistics.reasons[KUDO_REASON_STRANGER][KUDO_INGRESS] = {3, 300};
    statistics.services["media"].classes[KUDO_CLASS_MEDIA][KUDO_EGRESS] = {50, 6400};
    statistics.services["region-ca"] = {};
    statistics.flows = {media_flow()};
    statistics.flow_entries = 1;
    statistics.flow_capacity = 1000;
    return statistics;
}

std::vector<std::string> keys(const OrderedJson& object) {
    std::vector<std::string> names;
    for (const auto& [name, value] : object.items())
        names.push_back(name);
    return names;
}

OrderedJson stats_json(const Statistics& statistics, const StatsView& view, bool one_line = false) {
    std::string text;
    EXPECT_TRUE(
        write_stats_json({.statistics = statistics}, view, one_line, [&](std::string_view piece) -> Result<void> {
            text += piece;
            return {};
        }));
    EXPECT_EQ(text.back(), '\n');
    if (one_line) {
        EXPECT_EQ(text.find('\n'), text.size() - 1);
    }
    return OrderedJson::parse(text);
}

TEST(StatsJson, IsTheSameOnOneLine) {
    EXPECT_EQ(stats_json(some_statistics(), {}, true), stats_json(some_statistics(), {}));
    EXPECT_EQ(stats_json({}, {}, true), stats_json({}, {}));
}

TEST(StatsJson, HasTheNamesOfTheContract) {
    const OrderedJson json = stats_json(some_statistics(), {.flows = true});
    for (const char* name : {"totals", "reasons", "services", "flows", "drops"})
        EXPECT_TRUE(json.contains(name)) << name;
    EXPECT_EQ(json["totals"]["egress"], (OrderedJson{{"packets", 57}, {"bytes", 7000}}));
    EXPECT_EQ(json["reasons"].size(), static_cast<std::size_t>(KUDO_REASON_END));
    EXPECT_EQ(json["reasons"]["rule"]["egress"]["packets"], 50);
    EXPECT_EQ(json["services"]["media"]["egress"]["bytes"], 6400);
    EXPECT_EQ(json["services"]["media"]["classes"]["media"]["egress"]["bytes"], 6400);
    EXPECT_EQ(json["services"]["region-ca"]["ingress"]["packets"], 0);
}

TEST(StatsJson, HasFlowsEvenWhereThereAreNone) {
    EXPECT_EQ(stats_json(some_statistics(), {})["flows"].size(), some_statistics().flows.size());
    Statistics none = some_statistics();
    none.flows.clear();
    EXPECT_EQ(stats_json(none, {})["flows"], OrderedJson::array());
}

TEST(StatsJson, SaysThatNobodyMeasuredDrops) {
    EXPECT_EQ(stats_json(some_statistics(), {})["drops"], OrderedJson::array());
    EXPECT_EQ(stats_json(some_statistics(), {})["drops_measured"], false);
}

TEST(FlowJson, SaysWhichRtpStreamIsWhatAndWhy) {
    FlowRecord flow = media_flow();
    kudo_rtp_stream what{};
    what.packets = 500;
    what.step = 960;
    what.largest = 172;
    what.payload_type = 111;
    what.kind = KUDO_RTP_AUDIO;
    what.evidence = 1; // KUDO_RTP_AUDIO_FRAME
    flow.streams.push_back({.ssrc = 0x1f, .direction = KUDO_EGRESS, .what = what});
    const OrderedJson stream = OrderedJson::parse(flow_json(flow, std::chrono::system_clock::now()))["rtp"][0];
    EXPECT_EQ(stream["ssrc"], "0x0000001f");
    EXPECT_EQ(stream["direction"], "egress");
    EXPECT_EQ(stream["kind"], "audio");
    EXPECT_EQ(stream["why"], "each packet one audio frame after the last (960 ticks), at most 172 bytes");
    EXPECT_EQ(stream["payload_type"], 111);
    EXPECT_EQ(stream["packets"], 500);
}

TEST(FlowJson, ClaimsNothingOfRtpThatTlsHides) {
    FlowRecord flow = media_flow();
    flow.protocol = IPPROTO_TCP;
    flow.class_ = KUDO_CLASS_FALLBACK;
    const OrderedJson json = OrderedJson::parse(flow_json(flow, std::chrono::system_clock::now()));
    ASSERT_TRUE(json.contains("rtp"));
    EXPECT_EQ(json["rtp"], nullptr);
    flow.class_ = KUDO_CLASS_CONTROL;
    EXPECT_EQ(OrderedJson::parse(flow_json(flow, std::chrono::system_clock::now()))["rtp"], nullptr);
}

TEST(StatsJson, HasEachPartOfAQueueAndNullForWhatTheKernelDoesNotTell) {
    Statistics statistics = some_statistics();
    QueueClass audio{.carries = {"audio"}};
    audio.packets = 3;
    audio.backlog_packets = 0;
    audio.drops = 2;
    statistics.queues.push_back({"eth0", "egress", "htb", {audio}});
    const OrderedJson queue = stats_json(statistics, {})["queues"][0];
    EXPECT_EQ(queue["interface"], "eth0");
    EXPECT_EQ(queue["direction"], "egress");
    EXPECT_EQ(queue["queue"], "htb");
    EXPECT_EQ(queue["classes"][0]["carries"], OrderedJson({"audio"}));
    EXPECT_EQ(queue["classes"][0]["packets"], 3);
    EXPECT_EQ(queue["classes"][0]["backlog_packets"], 0);
    EXPECT_EQ(queue["classes"][0]["drops"], 2);
    EXPECT_EQ(queue["classes"][0]["delay_us"], nullptr);
}

StrayRemote some_stray() {
    return {.remote = Address::parse("198.51.100.7").value(),
            .requests = 14,
            .answers = 12,
            .first_seen = noon,
            .last_seen = noon + 250ms,
            .interface = "eth0",
            .name = {}};
}

NamedAddress some_moved_name() {
    return {.name = "live.kudoway.ca",
            .address = Address::parse("18.156.200.9").value(),
            .last_seen = noon + 250ms,
            .interface = "eth0",
            .service = "region-ca"};
}

TEST(StatsJson, HasEachStrayAndTheListEvenWhereThereAreNone) {
    Statistics statistics = some_statistics();
    EXPECT_EQ(stats_json(statistics, {})["strays"], OrderedJson::array());
    statistics.stale.strays = {some_stray()};
    const OrderedJson stray = stats_json(statistics, {})["strays"][0];
    EXPECT_EQ(keys(stray), (std::vector<std::string>{"remote", "name", "requests", "answers", "first_seen", "last_seen",
                                                     "interface"}));
    EXPECT_EQ(stray["name"], nullptr);
    EXPECT_EQ(stray["remote"], "198.51.100.7");
    EXPECT_EQ(stray["requests"], 14);
    EXPECT_EQ(stray["answers"], 12);
    EXPECT_EQ(stray["first_seen"], "2022-03-01T12:00:00.000Z");
    EXPECT_EQ(stray["last_seen"], "2022-03-01T12:00:00.250Z");
}

TEST(StatsJson, HasEachMovedNameAndTheListEvenWhereThereAreNone) {
    Statistics statistics = some_statistics();
    EXPECT_EQ(stats_json(statistics, {})["moved_names"], OrderedJson::array());
    statistics.stale.moved_names = {some_moved_name()};
    EXPECT_EQ(stats_json(statistics, {})["moved_names"][0], (OrderedJson{{"name", "live.kudoway.ca"},
                                                                         {"address", "18.156.200.9"},
                                                                         {"service", "region-ca"},
                                                                         {"within", nullptr},
                                                                         {"last_seen", "2022-03-01T12:00:00.250Z"},
                                                                         {"interface", "eth0"}}));
    statistics.stale.moved_names[0].within = "media";
    EXPECT_EQ(stats_json(statistics, {})["moved_names"][0]["within"], "media");
}

TEST(FlowJson, HasTheNamesOfTheContract) {
    const OrderedJson json = OrderedJson::parse(flow_json(media_flow(), std::chrono::system_clock::now()));
    EXPECT_EQ(keys(json),
              (std::vector<std::string>{"protocol", "local",   "local_port", "remote",    "remote_port", "service",
                                        "class",    "range",   "interface",  "verdict",   "reason",      "named_by",
                                        "ingress",  "egress",  "first_seen", "last_seen", "rtp",         "network",
                                        "host",     "process", "processes",  "diagnosis", "generation"}));
    EXPECT_EQ(json["protocol"], "udp");
    EXPECT_EQ(json["rtp"], OrderedJson::array());
    EXPECT_EQ(json["remote_port"], 3478);
    EXPECT_EQ(json["range"], "3.123.12.128/28");
    EXPECT_EQ(json["verdict"], "prioritise");
    EXPECT_EQ(json["last_seen"], "2022-03-01T12:00:00.250Z");
}

TEST(FlowJson, WhatAFlowDoesNotHaveIsNull) {
    FlowRecord flow;
    flow.protocol = IPPROTO_ICMPV6;
    const OrderedJson json = OrderedJson::parse(flow_json(flow, std::chrono::system_clock::now()));
    EXPECT_EQ(json["protocol"], "icmpv6");
    for (const char* name : {"local_port", "remote_port", "service", "range"})
        EXPECT_TRUE(json[name].is_null()) << name;
}

TEST(StatsText, ShowsServicesReasonsAndHowManyFlows) {
    const std::string text = stats_text({.statistics = some_statistics()}, {});
    EXPECT_NE(text.find("media        media           0       0 B           50     6.4 kB"), std::string::npos) << text;
    EXPECT_NE(text.find("all packets"), std::string::npos);
    EXPECT_NE(text.find("a range and a port of the map allow it"), std::string::npos);
    EXPECT_EQ(text.find("not_ip"), std::string::npos) << "a reason that never occurred";
    EXPECT_NE(text.find("1 flow; kudo-agent stats --flows lists them."), std::string::npos);
}

TEST(StatsText, ListsFlowsUpToTheLimit) {
    Statistics statistics = some_statistics();
    statistics.flows.assign(3, media_flow());
    const std::string text = stats_text({.statistics = statistics}, {.flows = true, .width = 200, .flow_limit = 2});
    EXPECT_NE(text.find("10.0.0.1:40000  3.123.12.130:3478"), std::string::npos) << text;
    EXPECT_NE(text.find("and 1 more"), std::string::npos);
}

TEST(StatsText, WhatIsMissingOfAStreamIsTheSameInBothTables) {
    Statistics statistics = some_statistics();
    RtpStream stream{.ssrc = 0x1f, .direction = KUDO_INGRESS};
    RtpQuality quality;
    quality.unique = 90;
    quality.pending = 10;
    quality.last_packet = noon - 60s;
    stream.quality = quality;
    statistics.flows[0].streams = {stream};
    const auto network = OrderedJson::parse(flow_json(statistics.flows[0], noon))["network"];
    EXPECT_EQ(network["streams"][0]["missing"], 10);
    const std::string text = stats_text({.statistics = statistics}, {.flows = true});
    const auto first = text.find("10 %");
    ASSERT_NE(first, std::string::npos) << text;
    EXPECT_NE(text.find("10 %", first + 1), std::string::npos) << text;
}

TEST(StatsText, SpeaksOfStraysOnlyIfThereAreAny) {
    Statistics statistics = some_statistics();
    EXPECT_EQ(stats_text({.statistics = statistics}, {}).find("STRAY"), std::string::npos);
    statistics.stale.strays = {some_stray()};
    statistics.stale.strays[0].name = "mantis-7.tokbox.com";
    const std::string text = stats_text({.statistics = statistics}, {});
    EXPECT_NE(text.find("198.51.100.7  mantis-7.tokbox.com  eth0             14       12"), std::string::npos) << text;
    EXPECT_EQ(text.find("NOW AT"), std::string::npos) << text;
}

TEST(StatsText, SpeaksOfMovedNamesOnlyIfThereAreAny) {
    Statistics statistics = some_statistics();
    statistics.stale.moved_names = {some_moved_name()};
    const std::string text = stats_text({.statistics = statistics}, {});
    EXPECT_NE(text.find("live.kudoway.ca  18.156.200.9  region-ca  eth0"), std::string::npos) << text;
    EXPECT_EQ(text.find("STRAY"), std::string::npos) << text;
}

TEST(StatsText, AnIPv6EndpointWithAPortStandsInBrackets) {
    const Address address = Address::parse("2001:db8::1").value();
    EXPECT_EQ(endpoint_text(address, 443), "[2001:db8::1]:443");
    EXPECT_EQ(endpoint_text(address, 0), "2001:db8::1");
}

TEST(Growth, IsTheDifferenceOfTwoReadings) {
    const Statistics before = some_statistics();
    Statistics now = before;
    now.totals[KUDO_EGRESS] = {157, 27000};
    now.services["media"].classes[KUDO_CLASS_MEDIA][KUDO_EGRESS] = {150, 26400};
    const Growth grown = growth(before, now, 2);
    EXPECT_EQ(grown.totals[KUDO_EGRESS].packets, 100U);
    EXPECT_EQ(grown.services.at("media").total()[KUDO_EGRESS].bytes, 20000U);
    const OrderedJson rates = stats_json(now, {.growth = &grown})["rates"];
    EXPECT_EQ(rates["totals"]["egress"]["packets_per_second"], 50.0);
    EXPECT_EQ(rates["totals"]["egress"]["bits_per_second"], 80000.0);
}

TEST(Growth, OfCountersThatBeganAnewIsWhatTheyShow) {
    Statistics now = some_statistics();
    now.totals[KUDO_EGRESS] = {5, 500};
    EXPECT_EQ(growth(some_statistics(), now, 1).totals[KUDO_EGRESS].packets, 5U);
}

Status healthy_status() {
    Status status;
    status.desired.enabled = true;
    status.desired.regions = {"ca"};
    status.generation = 1;
    status.mode = KUDO_PRIORITISE;
    status.serial = 2022030100;
    status.prefixes4 = 45;
    status.policy_matches = true;
    status.content_hash = "00ff";
    status.map_source = "built-in";
    status.interfaces = {{.name = "eth0",
                          .index = 2,
                          .ingress = "xdp-native",
                          .egress = "tc",
                          .healthy = true,
                          .problems = {},
                          .note = {}}};
    return status;
}

TEST(StatusJson, HasTheNamesOfTheContract) {
    const OrderedJson json = status_json(healthy_status());
    for (const char* name : {"enabled", "mode", "regions", "teams", "ingress", "generation", "map", "staged",
                             "interfaces", "healthy", "drift", "content_hash"})
        EXPECT_TRUE(json.contains(name)) << name;
    EXPECT_EQ(keys(json["map"]), (std::vector<std::string>{"serial", "effective", "source", "prefixes"}));
    EXPECT_EQ(json["map"]["prefixes"]["ipv4"], 45);
    EXPECT_EQ(json["mode"], "prioritise");
    EXPECT_EQ(json["ingress"], "auto");
    EXPECT_EQ(json["interfaces"][0]["ingress"], "xdp-native");
    EXPECT_TRUE(json["staged"].is_null());
    EXPECT_EQ(json["healthy"], true);
}

TEST(StatusExit, IsZeroOnlyIfNothingDiffers) {
    EXPECT_EQ(exit_status(healthy_status()), 0);
    Status drifted = healthy_status();
    drifted.drift = {{.text = "eth0: the XDP program is gone."}};
    EXPECT_EQ(exit_status(drifted), 4);
    Status detached = healthy_status();
    detached.interfaces[0].healthy = false;
    EXPECT_EQ(exit_status(detached), 4);
    Status other_policy = healthy_status();
    other_policy.policy_matches = false;
    EXPECT_EQ(exit_status(other_policy), 4);
}

TEST(StatusJson, SaysWhetherTheMapMayBeStaleAndStaysHealthy) {
    EXPECT_EQ(status_json(healthy_status())["stale_map"],
              (OrderedJson{{"suspected", false}, {"remotes", OrderedJson::array()}, {"names", OrderedJson::array()}}));
    Status status = healthy_status();
    status.stale.strays = {some_stray()};
    EXPECT_EQ(status_json(status)["stale_map"]["suspected"], true);
    EXPECT_EQ(status_json(status)["stale_map"]["remotes"][0]["remote"], "198.51.100.7");
    EXPECT_EQ(status_json(status)["healthy"], true);
    EXPECT_EQ(exit_status(status), 0);
    status.stale = {.strays = {}, .moved_names = {some_moved_name()}};
    EXPECT_EQ(status_json(status)["stale_map"]["suspected"], true);
    EXPECT_EQ(status_json(status)["stale_map"]["names"][0]["address"], "18.156.200.9");
    EXPECT_EQ(exit_status(status), 0);
}

TEST(StatusText, SaysToRunEnableAgainOnlyWhereThatHelps) {
    Status status = healthy_status();
    status.effective = Time{};
    const Difference ours{.text = "eth0: no program on egress", .enable_corrects = true};
    const Difference theirs{.text = "eth0: the root qdisc was configured by the administrator"};
    const auto hint = [&](std::vector<Difference> drift) {
        status.drift = std::move(drift);
        const std::string text = status_text(status, false);
        return text.substr(text.rfind("\n\n"));
    };
    EXPECT_EQ(hint({ours}), "\n\nRun the same kudo-agent enable again to correct it.\n");
    EXPECT_NE(hint({theirs}).find("enable again does not correct it"), std::string::npos) << hint({theirs});
    EXPECT_NE(hint({ours, theirs}).find("correct a part of it"), std::string::npos) << hint({ours, theirs});
}

TEST(UntoldDrift, IsWhatAReportHasNotToldInWhateverWords) {
    Status status = healthy_status();
    status.drift = {{.text = "eth0: no program on egress", .object = "eth0 egress"},
                    {.text = "eth0: 20 packets went out unseen"},
                    {.text = "eth1: no such interface now", .object = "eth1"},
                    {.text = "eth1: no program on egress", .object = "eth1 egress"}};
    ReconcileReport report;
    report.problems.push_back({"eth0 egress", Error{ErrorKind::Failed, "eth0: egress: no memory", 0}});
    report.warnings.emplace_back("eth1 does not exist now; nothing is attached to it");
    EXPECT_EQ(texts_of(untold_drift(status, report)),
              (std::vector<std::string>{"eth0: 20 packets went out unseen", "eth1: no program on egress"}));
}

TEST(StatusText, TellsWhatAStaleMapIsAndWhatToDo) {
    EXPECT_EQ(status_text(healthy_status(), false).find("stale"), std::string::npos);
    Status status = healthy_status();
    status.stale.strays = {some_stray()};
    std::string text = status_text(status, false);
    EXPECT_NE(text.find("198.51.100.7  -     eth0       12 of 14  2022-03-01T12:00:00Z"), std::string::npos) << text;
    EXPECT_NE(text.find("kudo-agent ranges show"), std::string::npos) << text;
    EXPECT_EQ(text.find("NOW AT"), std::string::npos) << text;
    status.stale = {.strays = {}, .moved_names = {some_moved_name()}};
    text = status_text(status, false);
    EXPECT_NE(text.find("live.kudoway.ca  18.156.200.9  region-ca  2022-03-01T12:00:00Z"), std::string::npos) << text;
    EXPECT_NE(text.find("kudo-agent ranges show"), std::string::npos) << text;
    EXPECT_EQ(text.find("ANSWERS FROM"), std::string::npos) << text;
}

TEST(StatusExit, TellsNotEnabledFromLeftovers) {
    Status status;
    EXPECT_EQ(exit_status(status), 3);
    EXPECT_EQ(status_json(status)["enabled"], false);
    status.leftovers = true;
    EXPECT_EQ(exit_status(status), 4);
}

} // namespace
} // namespace kudo
