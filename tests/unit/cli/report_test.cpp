// SPDX-License-Identifier: MIT
// The parts of a report: what is escaped, what is redacted, what is read back, what is drawn, what is said first.
// Invariant: each test names one behaviour.
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "cli/report/answer.h"
#include "cli/report/asked.h"
#include "cli/report/chart.h"
#include "cli/report/document.h"
#include "cli/report/html.h"
#include "cli/report/page.h"
#include "cli/report/redaction.h"
#include "cli/report/replacements.h"
#include "cli/report/text.h"
#include "cli/report/words.h"

namespace kudo {
namespace {

TEST(ReportHtml, EscapesMarkupQuotesAndControlCharacters) {
    EXPECT_EQ(html("<b a=\"1\" c='2'>&amp;\x1b[m\x7f"), "&lt;b a=&quot;1&quot; c=&#39;2&#39;&gt;&amp;amp;\\x1b[m\\x7f");
    EXPECT_EQ(html("a\xe2\x80\xae"
                   "b\xe2\x81\xa7"
                   "c"),
              "a\\u202eb\\u2067c")
        << "marks of direction are shown";
    EXPECT_EQ(html("d\xc3\xbcrfen, 25\xe2\x80\x89%"), "d\xc3\xbcrfen, 25\xe2\x80\x89%");
}

TEST(ReportHtml, JsonForAPageIsTheSameJsonWithoutMarkup) {
    const OrderedJson json = {{"a", "</script><!-- & ]]>"}};
    const std::string text = json_for_page(json.dump());
    EXPECT_EQ(text.find_first_of("<>&"), std::string::npos) << text;
    EXPECT_EQ(OrderedJson::parse(text), json);
}

TEST(ReportHtml, FillsInOnceAndLeavesValuesAlone) {
    EXPECT_EQ(filled_in("a{{x}}b{{y}}c{{none}}d{{", {{"x", "{{y}}"}, {"y", "Y"}}), "a{{y}}bYcd{{");
}

Identities identities() {
    return {.own = {*Address::parse("10.77.0.2"), *Address::parse("fd77::2")},
            .hosts = {"desk-7.corp.example", "desk-7"},
            .users = {"alice"},
            .kudo = {*Prefix::parse("3.123.12.128/28"), *Prefix::parse("168.100.64.0/18")},
            .kudo_domains = {"*.kudoway.ca", "live.kudoway.com"}};
}

TEST(ReportRedaction, ReplacesAddressesWhereverTheyStand) {
    Replacements replacements(identities());
    const auto apply = [&](const char* text) { return replacements.apply(text); };
    EXPECT_EQ(apply("udp 10.77.0.2:40000 to 3.123.12.129:3478."), "udp host-1:40000 to 3.123.12.129:3478.");
    EXPECT_EQ(apply("10.77.0.2"), "host-1") << "the same again";
    EXPECT_EQ(apply("[fd77::2]:443, fd77::0002, ::ffff:10.77.0.2"), "[host-2]:443, host-2, host-1");
    EXPECT_EQ(apply("via 192.168.9.1, 192.168.0.0/16 dev eth0"), "via net-1, net-2/16 dev eth0");
    EXPECT_EQ(apply("8.8.8.8 fe80::1%eth0 2001:db8::1."), "other-1 net-3%eth0 other-2.");
    EXPECT_EQ(apply("x10.77.0.2y =10.77.0.2="), "xhost-1y =host-1=");
    EXPECT_EQ(apply("2.0.77.10.in-addr.arpa").find("2.0.77.10"), std::string::npos);
    EXPECT_EQ(apply("@nh,96,32 0x0a4d0002, 0xa4d0002"), "@nh,96,32 host-1, host-1");
    EXPECT_EQ(apply("0.0.0.0/0 127.0.0.1 ::1 :: 224.0.0.1"), "0.0.0.0/0 127.0.0.1 ::1 :: 224.0.0.1");
    EXPECT_EQ(apply("at 12:34:56, 1.2.3 of 0.1.0, nft_do_chain+0x46f"),
              "at 12:34:56, 1.2.3 of 0.1.0, nft_do_chain+0x46f");
    EXPECT_EQ(apply("168.100.127.255 168.100.128.0"), "168.100.127.255 other-4");
}

TEST(ReportRedaction, ReplacesNamesOfHostsUsersAndHardware) {
    Replacements replacements(identities());
    const auto apply = [&](const char* text) { return replacements.apply(text); };
    EXPECT_EQ(apply("DESK-7.corp.example desk-7: desk-70"), "host-name-1 host-name-2: desk-70");
    EXPECT_EQ(apply("/home/alice/.mozilla of Alice, /home/bob/x"), "/home/user-1/.mozilla of user-1, /home/user-2/x");
    EXPECT_EQ(apply("52:54:00:12:34:56 52-54-00-12-34-56 on wlx525400123456"), "mac-1 mac-1 on interface-1");
    EXPECT_EQ(apply("http://proxy.corp.example:3128"), "http://name-1:3128");
    EXPECT_EQ(apply("eu.live.kudoway.ca, live.kudoway.com, live.kudoway.com.evil.example"),
              "eu.live.kudoway.ca, live.kudoway.com, name-2");
    EXPECT_EQ(apply("net.core.rmem_default in sysctl.conf, kudo-agent.service"),
              "net.core.rmem_default in sysctl.conf, kudo-agent.service");
}

TEST(ReportRedaction, KnowsProcessesFromTheReportAndKeepsWordsOfOurOwn) {
    const OrderedJson document = {
        {"answer", {{"where", "host"}, {"summary", "host did not read: host (pid 7) of chat.service at 10.0.0.9"}}},
        {"asked", {{{"asked", "media"}, {"seen", {"to 10.0.0.9"}}}}},
        {"stats",
         {{"flows",
           {{{"local", "10.0.0.9"},
             {"remote", "18.156.200.9"},
             {"service", "opentok"},
             {"class", "media"},
             {"process", {{"name", "host"}, {"unit", "chat.service"}, {"pid", 7}}},
             {"processes", {{{"name", "media"}, {"unit", nullptr}}}},
             {"network", {{"stun", {{"mapped", {{"address", "203.0.113.7"}, {"port", 9}}}}}}}}}}}}};
    const OrderedJson result = redacted(document, identities());
    EXPECT_EQ(result["redacted"], true);
    EXPECT_EQ(result["answer"]["where"], "host");
    EXPECT_EQ(result["answer"]["summary"], "process-1 did not read: process-1 (pid 7) of unit-1 at host-1");
    EXPECT_EQ(result["asked"][0]["seen"][0], "to host-1");
    const OrderedJson& flow = result["stats"]["flows"][0];
    EXPECT_EQ(flow["local"], "host-1");
    EXPECT_EQ(flow["remote"], "18.156.200.9") << "KUDO's by a name";
    EXPECT_EQ(flow["class"], "media");
    EXPECT_EQ(flow["processes"][0]["name"], "process-2");
    EXPECT_EQ(flow["network"]["stun"]["mapped"]["address"], "host-3") << "this host as the far side sees it";
    EXPECT_EQ(flow["process"]["pid"], 7);
}

OrderedJson some_document() {
    ReportParts parts{.made_at = {}, .host = "</title><script>", .why_no_diagnosis = "not <enabled>"};
    parts.why_no_doctor = "it was not asked for";
    return report_document(std::move(parts)).value();
}

TEST(ReportPage, IsReadBackAsItWasMade) {
    const OrderedJson document = some_document();
    const std::string page = report_page(document);
    EXPECT_EQ(page.find("<script>"), std::string::npos);
    EXPECT_EQ(page.find("{{"), std::string::npos);
    EXPECT_EQ(document_of_page(page, "x").value(), document);
    EXPECT_NE(report_as_text(document, 80, false).find("No call could be looked at: not <enabled>."),
              std::string::npos);
}

TEST(ReportPage, RefusesWhatIsNoReport) {
    const std::string page = report_page(some_document());
    for (const std::string& wrong :
         {std::string(), page + page, page.substr(0, page.size() - 40), std::string("<html>")}) {
        const auto read = document_of_page(wrong, "x.html");
        ASSERT_FALSE(read);
        EXPECT_EQ(read.error().kind, ErrorKind::BadInput);
        EXPECT_EQ(read.error().message.find("x.html: "), 0U);
    }
    EXPECT_FALSE(parse_report_document("[1]", "x"));
    EXPECT_FALSE(parse_report_document(std::string(100'000, '['), "x"));
}

TEST(ReportPage, OfAnyShapeIsMadeWithoutAnError) {
    for (const char* text :
         {R"({"answer":[],"asked":{},"stats":[],"doctor":7,"map":"x","left_out":{"flows":"<"}})",
          R"({"stats":{"flows":[7,{"network":{"streams":[1,{"lost":"x"}]}}],"drops":[[]],"verdict":[]},)"
          R"("timeline":{"streams":[{"begin":"2022-03-01T12:00:00.000Z","milliseconds":-5,"loss":1e308},)"
          R"({"begin":"<"},7]}})"})
        EXPECT_NE(report_page(OrderedJson::parse(text)).find("</html>"), std::string::npos) << text;
}

TEST(ReportChart, DrawsGapsAsGapsAndSmallLossesVisibly) {
    const std::vector<ChartPoint> points = {{0, 1, 2.0}, {1, 2, {}}, {2, 3, 4.0}, {3, 4, 4.0}};
    Chart chart{.id = "c",
                .title = "<t>",
                .text = "said",
                .top = "5 ms",
                .highest = 5,
                .begin = 0,
                .end = 4,
                .lines = {{"", points}}};
    const std::string line = chart_html(chart);
    EXPECT_NE(line.find("M0.0 60.0H250.0M500.0 20.0H750.0L750.0 20.0H1000.0"), std::string::npos) << line;
    EXPECT_NE(line.find("<title id=\"c-t\">&lt;t&gt;</title>"), std::string::npos) << line;
    EXPECT_NE(line.find("aria-labelledby=\"c-t c-d\""), std::string::npos) << line;
    chart.bars = true;
    chart.lines = {{"", {{0, 1, 0.001}, {1, 2, 0.0}}}};
    const std::string bars = chart_html(chart);
    EXPECT_NE(bars.find("y=\"97.0\" width=\"250.0\" height=\"3.0\""), std::string::npos) << bars;
    EXPECT_EQ(bars.find("<rect", bars.find("<rect") + 1), std::string::npos) << "no loss is no bar";
}

TEST(ReportChart, RoundsUpToOneTwoOrFive) {
    for (const auto& [value, rounded] : std::initializer_list<std::pair<double, double>>{
             {0, 1}, {0.03, 0.05}, {1, 1}, {1.1, 2}, {4, 5}, {5.1, 10}, {730, 1000}})
        EXPECT_DOUBLE_EQ(round_up(value), rounded) << value;
}

OrderedJson stats_with(const char* where, const char* summary) {
    return {{"verdict", {{"where", where}, {"summary", summary}, {"findings", OrderedJson::array()}}}};
}
OrderedJson doctor_with(const char* name, const char* group, const char* result) {
    return {
        {"checks",
         {{{"name", name}, {"group", group}, {"title", "T"}, {"result", result}, {"summary", "s"}, {"fix", nullptr}}}}};
}

TEST(ReportAnswer, ALossComesBeforeWhatDoctorFinds) {
    const OrderedJson fails = doctor_with("media_udp", "reach", "fail");
    EXPECT_EQ(answer_of(stats_with("host", "lost"), fails, "")["summary"], "lost");
    EXPECT_EQ(answer_of(stats_with("host", "lost"), fails, "")["who"], "this host's administrator");
    EXPECT_EQ(answer_of(stats_with("none", "fine"), fails, "")["summary"], "T: s.");
    EXPECT_EQ(answer_of(stats_with("none", "fine"), fails, "")["who"],
              "whoever runs the network and the firewalls between this host and KUDO");
    EXPECT_EQ(answer_of(stats_with("none", "fine"), doctor_with("x", "host", "warn"), "")["summary"], "fine");
    EXPECT_TRUE(answer_of(stats_with("unknown", "?"), {}, "")["who"].is_null());
}

TEST(ReportAnswer, NamesWhomElseAFailedCheckIsFor) {
    const OrderedJson answer = answer_of(stats_with("host", "lost"), {}, "");
    OrderedJson doctor = doctor_with("dns", "name", "fail");
    EXPECT_EQ(also_failing(answer, doctor), "whoever runs the network and the firewalls between this host and KUDO: T");
    doctor["checks"].push_back(doctor["checks"][0]);
    EXPECT_TRUE(also_failing(answer, doctor).ends_with("KUDO: T, T"));
    EXPECT_EQ(also_failing(answer, doctor_with("dns", "name", "warn")), "");
    EXPECT_EQ(also_failing(answer, doctor_with("conntrack", "firewall", "fail")), "") << "the same one";
    doctor["checks"].push_back(doctor_with("conntrack", "firewall", "fail")["checks"][0]);
    EXPECT_EQ(
        also_failing({{"who", "somebody else"}}, doctor),
        "this host's administrator: T; whoever runs the network and the firewalls between this host and KUDO: T, T");
}

TEST(ReportAnswer, IsSureOfNoMoreThanWasCounted) {
    OrderedJson answer = {{"where", "host"}, {"confidence", "certain"}};
    EXPECT_EQ(confidence_words(answer), "Certain that it is lost there: it was counted where it happened.");
    answer["where"] = "none";
    EXPECT_EQ(confidence_words(answer),
              "Certain of what reached this host and of what it did with it; not of what is lost behind it.");
}

TEST(ReportAnswer, WithoutTrafficNothingIsCalledGood) {
    const OrderedJson answer = answer_of({}, doctor_with("x", "host", "pass"), "not enabled");
    EXPECT_TRUE(answer["where"].is_null());
    EXPECT_EQ(answer["summary"],
              "No call could be looked at: not enabled. Nothing was found that keeps KUDO from working here.");
}

std::string result_of(const OrderedJson& asked, const std::string& topic) {
    for (const OrderedJson& point : asked)
        if (point["topic"] == topic) return point["result"];
    return "";
}

TEST(ReportAsked, TheWorstDecidesAndWhatWasNotLookedAtIsNotKnown) {
    EXPECT_EQ(result_of(asked_of_network({}, {}, false), "UDP 3478"), "not_known");
    EXPECT_EQ(result_of(asked_of_network({}, doctor_with("media_udp", "reach", "skip"), false), "UDP 3478"),
              "not_known");
    EXPECT_EQ(result_of(asked_of_network({}, doctor_with("media_udp", "reach", "warn"), false), "UDP 3478"),
              "doubtful");
    OrderedJson stats = stats_with("before_host", "x");
    stats["verdict"]["findings"].push_back({{"name", "udp_blocked"}, {"summary", "x"}, {"confidence", "likely"}});
    EXPECT_EQ(result_of(asked_of_network(stats, doctor_with("media_udp", "reach", "pass"), false), "UDP 3478"),
              "not_met");
    EXPECT_EQ(
        result_of(asked_of_network({}, doctor_with("conntrack", "firewall", "pass"), false), "Media is not throttled"),
        "not_known")
        << "no call was looked at";
    EXPECT_EQ(result_of(asked_of_network({}, {}, false), "Microsoft Teams"), "");
    stats["verdict"]["findings"][0]["name"] = "firewall_rule";
    EXPECT_EQ(result_of(asked_of_network(stats, {}, false), "Media is not throttled"), "not_known") << "not media";
    stats["flows"] = {{{"class", "media"}, {"host", {{"ingress", {{"packets", 5}}}}}}};
    EXPECT_EQ(result_of(asked_of_network(stats, {}, false), "Media is not throttled"), "not_met");
    EXPECT_EQ(result_of(asked_of_network({}, {}, true), "Microsoft Teams"), "not_known");
}

TEST(ReportAsked, WhereManyRequestsAreUnansweredUdpIsDoubtful) {
    OrderedJson flow = {{"protocol", "udp"}, {"remote_port", 3478}, {"ingress", {{"packets", 100}}}};
    for (const auto& [responses, result] : {std::pair(9, "met"), std::pair(7, "doubtful")}) {
        flow["network"] = {{"stun", {{"requests", 10}, {"responses", responses}}}};
        EXPECT_EQ(result_of(asked_of_network({{"flows", {flow}}}, {}, false), "UDP 3478"), result);
    }
}

} // namespace
} // namespace kudo
