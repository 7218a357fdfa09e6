// SPDX-License-Identifier: MIT
// What `doctor` says of what it has found, and the STUN messages that it asks with.
#include <gtest/gtest.h>

#include <cerrno>
#include <set>
#include <span>

#include <fmt/format.h>

#include "agent/doctor/command.h"
#include "agent/doctor/doctor.h"
#include "agent/doctor/firewall.h"
#include "agent/doctor/load.h"
#include "agent/doctor/marks.h"
#include "agent/doctor/proxy_settings.h"
#include "agent/doctor/reach_judgement.h"
#include "agent/doctor/report_lines.h"
#include "agent/stun/stun.h"
#include "bpf/stun.h"
#include "tests/unit/agent/ruleset_json.h"

namespace kudo::test {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;

// --- STUN

std::vector<uint8_t> response(uint16_t type, const StunTransaction& transaction,
                              const std::vector<uint8_t>& attributes) {
    std::vector<uint8_t> bytes{static_cast<uint8_t>(type >> 8),
                               static_cast<uint8_t>(type),
                               static_cast<uint8_t>(attributes.size() >> 8),
                               static_cast<uint8_t>(attributes.size()),
                               0x21,
                               0x12,
                               0xa4,
                               0x42};
    bytes.insert(bytes.end(), transaction.begin(), transaction.end());
    bytes.insert(bytes.end(), attributes.begin(), attributes.end());
    return bytes;
}

TEST(DoctorStun, RequestsAreWhatTheRfcsSay) {
    const StunTransaction transaction = new_stun_transaction();
    const auto binding = binding_request(transaction), allocate = allocate_request(transaction);
    EXPECT_EQ(binding.size(), 20u);
    EXPECT_EQ(kudo_stun_kind_of(binding.data(), 20), KUDO_STUN_REQUEST);
    EXPECT_EQ(allocate.size(), 28u);
    EXPECT_EQ(allocate[1], 3); // RFC 8656 section 17
    EXPECT_EQ((std::vector<uint8_t>(allocate.begin() + 20, allocate.end())),
              (std::vector<uint8_t>{0, 0x19, 0, 4, 17, 0, 0, 0}));
    const auto padded = binding_request(transaction, 1040);
    EXPECT_EQ(padded.size(), 1040u);
    EXPECT_EQ(kudo_stun_kind_of(padded.data(), 1040), KUDO_STUN_REQUEST);
}

// RFC 5769 section 2.2: a response with 192.0.2.1:32853.
TEST(DoctorStun, TheMappedAddressOfTheRfcsExampleIsRead) {
    const StunTransaction transaction{0xb7, 0xe7, 0xa7, 0x01, 0xbc, 0x34, 0xd6, 0x86, 0xfa, 0x87, 0xdf, 0xae};
    const auto message =
        response(0x0101, transaction, {0x80, 0x22, 0, 0x0b, 't', 'e', 's', 't', ' ',  'v',  'e',  'c',  't',  'o',
                                       'r',  ' ',  0, 0x20, 0,   8,   0,   1,   0xa1, 0x47, 0xe1, 0x12, 0xa6, 0x43});
    const auto read = read_stun_response(message, transaction);
    ASSERT_TRUE(read);
    EXPECT_TRUE(read->is_binding_success());
    EXPECT_EQ(read->mapped_address->text(), "192.0.2.1");
    EXPECT_EQ(read->mapped_port, 32853);
    EXPECT_EQ(read->software, "test vector");
}

TEST(DoctorStun, AnErrorAndItsRealmAreRead) {
    const StunTransaction transaction = new_stun_transaction();
    const auto read = read_stun_response(
        response(0x0113, transaction, {0, 9, 0, 4, 0, 0, 4, 1, 0, 0x14, 0, 4, 'a', '\n', '.', 'b'}), transaction);
    ASSERT_TRUE(read);
    EXPECT_TRUE(read->is_allocate_error());
    EXPECT_EQ(read->error, 401u);
    EXPECT_EQ(read->realm.find('\n'), std::string::npos) << "one printable line";
}

TEST(DoctorStun, WhatIsNoResponseToTheRequestIsNone) {
    const StunTransaction transaction = new_stun_transaction();
    const auto good = response(0x0101, transaction, {0, 0x20, 0, 8, 0, 1, 1, 2, 3, 4, 5, 6});
    EXPECT_TRUE(read_stun_response(good, transaction));
    auto other = transaction;
    other[11] ^= 1;
    EXPECT_FALSE(read_stun_response(good, other)) << "another transaction";
    EXPECT_FALSE(read_stun_response(binding_request(transaction), transaction)) << "a request";
    for (std::size_t size = 0; size < good.size(); size++)
        EXPECT_FALSE(read_stun_response(std::span(good).first(size), transaction)) << size;
    // An attribute that claims more than there is.
    const auto cut = read_stun_response(response(0x0101, transaction, {0, 0x20, 0xff, 0xff}), transaction);
    ASSERT_TRUE(cut);
    EXPECT_FALSE(cut->mapped_address);
}

// --- Reach

MediaServers servers(std::size_t udp, std::size_t tcp, std::size_t all = 3) {
    MediaServers found;
    for (std::size_t i = 0; i < all; i++) {
        const Address to = address(fmt::format("3.123.12.{}", 128 + i).c_str());
        for (const bool allocate : {false, true}) {
            found.datagrams.push_back({.to = to, .port = 3478, .allocate = allocate});
            if (i < udp) found.datagrams.back().response = StunResponse{.type = 0x0101};
        }
        found.streams.push_back({.to = to, .port = 443});
        if (i < tcp) {
            found.streams.back().connected = milliseconds(10);
            found.streams.back().response = StunResponse{.type = 0x0113, .error = 401};
        } else {
            found.streams.back().error = ETIMEDOUT;
        }
    }
    return found;
}

TEST(DoctorReach, SilenceIsBlockedOnlyWhereAnotherWayAnswers) {
    EXPECT_EQ(judge_media_udp(servers(3, 3), Subject{}).result, CheckResult::Pass);
    const CheckReport some = judge_media_udp(servers(1, 1), Subject{});
    EXPECT_EQ(some.result, CheckResult::Warn);
    EXPECT_NE(some.summary.find("no server answered at the other 2 tried"), std::string::npos) << some.summary;
    EXPECT_EQ(judge_media_udp(servers(0, 1), Subject{}).result, CheckResult::Fail);
    const CheckReport none = judge_media_udp(servers(0, 0), Subject{});
    EXPECT_EQ(none.result, CheckResult::Warn);
    EXPECT_NE(none.summary.find("no server answered at the 3 addresses tried"), std::string::npos) << none.summary;
    EXPECT_EQ(judge_media_tcp(servers(1, 0)).result, CheckResult::Fail);
    EXPECT_EQ(judge_media_tcp(servers(0, 0)).result, CheckResult::Warn);
}

TEST(DoctorReach, WhatSomebodyOnTheWaySaysIsProof) {
    MediaServers refused = servers(0, 0);
    refused.datagrams[0].error = EHOSTUNREACH;
    refused.datagrams[0].complainer = address("10.0.0.1");
    const CheckReport report = judge_media_udp(refused, Subject{});
    EXPECT_EQ(report.result, CheckResult::Fail);
    EXPECT_NE(report.summary.find("10.0.0.1"), std::string::npos) << report.summary;
    MediaServers reset = servers(0, 0);
    reset.streams[0].error = ECONNREFUSED;
    EXPECT_EQ(judge_media_tcp(reset).result, CheckResult::Warn) << "perhaps the address itself";
    reset.streams[0].error = EHOSTUNREACH;
    EXPECT_EQ(judge_media_tcp(reset).result, CheckResult::Fail);
}

TEST(DoctorReach, WhatTheAddressItselfRefusesHasArrived) {
    MediaServers reached = servers(0, 0);
    reached.datagrams[0].error = ECONNREFUSED;
    reached.datagrams[0].complainer = reached.datagrams[0].to;
    EXPECT_EQ(judge_media_udp(reached, Subject{}).result, CheckResult::Warn);
    reached.datagrams[0].complainer = address("10.0.0.1");
    EXPECT_EQ(judge_media_udp(reached, Subject{}).result, CheckResult::Fail);
    MediaServers here = servers(0, 0);
    here.datagrams[0].error = EPERM;
    EXPECT_NE(judge_media_udp(here, Subject{}).summary.find("this host's own firewall"), std::string::npos);
    Subject subject;
    subject.addresses = {{.interface = 2, .address = address("192.0.2.7")}};
    here.datagrams[0].error = ECONNREFUSED; // rejected
    here.datagrams[0].complainer = address("192.0.2.7");
    EXPECT_NE(judge_media_udp(here, subject).summary.find("this host's own firewall"), std::string::npos);
    here.datagrams[0].error = EHOSTUNREACH; // or the next hop is silent
    EXPECT_EQ(judge_media_udp(here, subject).summary.find("this host's own firewall"), std::string::npos);
}

TEST(DoctorReach, NatIsToldByTwoServersAtLeast) {
    Subject subject;
    subject.addresses = {{1, address("10.0.0.2")}};
    const auto seen = [&](std::initializer_list<std::pair<const char*, uint16_t>> mapped) {
        MediaServers found = servers(0, 0, mapped.size());
        std::size_t i = 0;
        for (const auto& [where, port] : mapped)
            found.datagrams[2 * i++].response =
                StunResponse{.type = 0x0101, .mapped_address = address(where), .mapped_port = port};
        return judge_nat(found, subject);
    };
    EXPECT_EQ(seen({{"198.51.100.1", 5000}}).result, CheckResult::Skip);
    EXPECT_EQ(seen({{"198.51.100.1", 5000}, {"198.51.100.1", 5000}}).result, CheckResult::Pass);
    EXPECT_EQ(seen({{"198.51.100.1", 5000}, {"198.51.100.1", 5001}}).result, CheckResult::Warn);
    MediaServers twice = servers(0, 0, 2);
    for (DatagramProbe& probe : twice.datagrams) {
        probe.to = twice.datagrams[0].to;
        probe.response = StunResponse{.type = 0x0101, .mapped_address = address("198.51.100.1"), .mapped_port = 1};
    }
    EXPECT_EQ(judge_nat(twice, subject).result, CheckResult::Skip) << "one server, asked twice";
    EXPECT_NE(seen({{"10.0.0.2", 5000}, {"10.0.0.2", 5000}}).summary.find("no NAT"), std::string::npos);
}

// --- Marks

CheckReport marks(unsigned unmarked, unsigned ef, unsigned af41, const std::vector<HopOutcome>& hops = {}) {
    Subject subject;
    subject.desired.regions = {"ca"};
    return judge_marks({{.dscp = 0, .sent = 20, .answered = unmarked, .median_rtt = milliseconds(10)},
                        {.dscp = 46, .sent = 20, .answered = ef, .median_rtt = milliseconds(10)},
                        {.dscp = 34, .sent = 20, .answered = af41, .median_rtt = milliseconds(10)}},
                       hops, subject);
}

TEST(DoctorMarks, AMarkLosesAgainstUnmarkedPacketsOnly) {
    EXPECT_EQ(marks(20, 20, 20).result, CheckResult::Pass);
    EXPECT_EQ(marks(18, 16, 17).result, CheckResult::Pass) << "chance";
    EXPECT_EQ(marks(3, 0, 0).result, CheckResult::Skip) << "all is lost";
    const CheckReport ef = marks(20, 0, 20);
    EXPECT_EQ(ef.result, CheckResult::Fail);
    EXPECT_EQ(ef.fix, "kudo-agent enable --region ca --mark audio=none");
    EXPECT_EQ(marks(20, 20, 0).fix, "kudo-agent enable --region ca --mark video=none --mark fallback=none");
}

TEST(DoctorMarks, TheRouterThatChangesOrDropsThemIsNamed) {
    const HopOutcome first{1, address("10.0.0.1"), 46, 46}, second{2, address("10.0.1.1"), 46, 0};
    const CheckReport bleached = marks(20, 20, 20, {first, second});
    EXPECT_EQ(bleached.result, CheckResult::Warn);
    EXPECT_NE(bleached.summary.find("EF is CS0 at 10.0.1.1 (hop 2)"), std::string::npos) << bleached.summary;
    const CheckReport dropped = marks(20, 0, 20, {first, {2, address("10.0.1.1"), 0, 0}});
    EXPECT_NE(dropped.summary.find("as far as 10.0.0.1 (hop 1)"), std::string::npos) << dropped.summary;
    const CheckReport at_first = marks(20, 0, 20, {{1, address("10.0.0.1"), 0, 0}});
    EXPECT_NE(at_first.summary.find("10.0.0.1 quotes unmarked ones"), std::string::npos) << at_first.summary;
}

TEST(DoctorMarks, WhileKudoAgentMarksThemItselfNothingIsCompared) {
    Subject subject;
    subject.marks_now = true;
    const auto judge = [&](unsigned answered, const std::vector<HopOutcome>& hops = {}) {
        return judge_marks(
            {{.dscp = 0, .sent = 20, .answered = answered}, {.dscp = 46, .sent = 20, .answered = answered}}, hops,
            subject);
    };
    EXPECT_EQ(judge(0).result, CheckResult::Skip);
    // What leaves unmarked is EF at the first router: that was this host. Nothing was compared.
    EXPECT_EQ(judge(20, {{1, address("10.0.0.1"), 0, 46}, {1, address("10.0.0.1"), 46, 46}}).result, CheckResult::Skip);
    const CheckReport lost = judge_marks({{.dscp = 0, .sent = 10, .answered = 10},
                                          {.dscp = 46, .sent = 10, .answered = 0},
                                          {.dscp = 34, .sent = 10, .answered = 10}},
                                         {}, subject);
    EXPECT_EQ(lost.result, CheckResult::Fail);
    EXPECT_NE(lost.fix.find("--mark audio=none"), std::string::npos) << lost.fix;
    for (const std::string& line : lost.evidence)
        EXPECT_NE(line.find("sent as"), std::string::npos) << "not that it left so: " << line;
    EXPECT_EQ(judge(20, {{1, address("10.0.0.1"), 0, 46}, {2, address("10.0.1.1"), 0, 0}}).result, CheckResult::Warn);
}

// --- What the process without privileges tells

TEST(DoctorLines, WhatIsWrittenIsReadBackButForCommands) {
    const ReportLine line{.check = 7,
                          .report = {CheckResult::Fail, "a \"summary\"\n", {"one", "tw\xff"}, "rm -rf /", "advice"},
                          .took = milliseconds(12)};
    const auto read = parse_report_line(report_line(line));
    ASSERT_TRUE(read);
    EXPECT_EQ(read->check, 7u);
    EXPECT_EQ(read->report.result, CheckResult::Fail);
    EXPECT_EQ(read->report.summary, line.report.summary);
    EXPECT_EQ(read->report.evidence.size(), 2u);
    EXPECT_EQ(read->report.fix, "") << "a command never comes from there";
    EXPECT_EQ(read->took, line.took);
    EXPECT_EQ(parse_report_line(report_line(line), Commands::Taken)->report.fix, "rm -rf /");

    const MarkExchange exchange{.server = address("192.0.2.1"),
                                .outcomes = {{.dscp = 46, .sent = 10, .answered = 9, .answers = {0, 46}}}};
    const auto marks = parse_marks_line(marks_line(exchange));
    ASSERT_TRUE(marks);
    EXPECT_EQ(marks->server, exchange.server);
    ASSERT_EQ(marks->outcomes.size(), 1u);
    EXPECT_EQ(marks->outcomes[0].answers, exchange.outcomes[0].answers);
}

TEST(DoctorLines, AnythingElseIsNone) {
    for (const char* text :
         {"", "{}", "[1]", "7", "{\"kind\": \"report\"}", "{\"kind\": 1}",
          R"({"kind":"report","check":1,"result":9,"summary":"","evidence":[],"advice":"","took":1})",
          R"({"kind":"report","check":-1,"result":"x","summary":"","evidence":[],"advice":"","took":1})",
          R"({"kind":"report","check":1,"result":0,"summary":"","evidence":[7],"advice":"","took":1})",
          R"({"kind":"marks","server":"x","outcomes":[],"why_not":""})"}) {
        EXPECT_FALSE(parse_report_line(text)) << text;
        EXPECT_FALSE(parse_marks_line(text)) << text;
    }
}

// --- Load

TEST(DoctorLoad, FloodControlIsToldFromASpreadLoss) {
    const auto load = [](unsigned lost_everywhere, unsigned dead_seconds, milliseconds rtt = milliseconds(10)) {
        LoadOutcome outcome;
        for (unsigned second = 0; second < load_seconds; second++)
            outcome.seconds.push_back({load_rate, second < dead_seconds ? 0 : load_rate - lost_everywhere});
        outcome.rtts.assign(100, rtt);
        return judge_load(std::move(outcome), address("192.0.2.1"));
    };
    EXPECT_EQ(load(0, 0).result, CheckResult::Pass);
    EXPECT_EQ(load(0, 0, milliseconds(200)).result, CheckResult::Warn);
    EXPECT_NE(load(0, 2).summary.find("flood control"), std::string::npos);
    const CheckReport spread = load(10, 0);
    EXPECT_EQ(spread.result, CheckResult::Fail);
    EXPECT_EQ(spread.summary.find("flood control"), std::string::npos) << spread.summary;
    EXPECT_EQ(load(0, load_seconds).result, CheckResult::Fail);
}

// --- Proxies

TEST(DoctorProxySettings, NoPasswordIsKept) {
    const ProxySetting setting = read_proxy_url("http://somebody:secret@proxy.example:3128/", "https_proxy");
    EXPECT_EQ(setting.url, "http://proxy.example:3128");
    EXPECT_TRUE(setting.has_user);
    EXPECT_EQ(read_proxy_url("proxy.example:3128", "").url, "http://proxy.example:3128");
    EXPECT_EQ(read_proxy_url("socks5://[2001:db8::1]:1080", "").url, "socks5://[2001:db8::1]:1080");
    EXPECT_EQ(read_proxy_url("http://user:s3cret/x@host:3131", "").url, "http://host:3131");
    EXPECT_EQ(read_proxy_url("http://user:a@b?c#d@host:3131/", "").url, "http://host:3131");
    EXPECT_EQ(read_proxy_url("HTTP://host", "").url, "http://host");
    for (const char* none :
         {"", "  ", "http://", "http://a b", "http://\x1b[31m", "http://user:s3cret/x", "user:s3cret", "host:99999999",
          "file://host/x", "quic://host:1", "[::1", "http://[user:1]:2"})
        EXPECT_EQ(read_proxy_url(none, "").url, "") << none;
}

TEST(DoctorProxySettings, ExceptionsAreSuffixesOfNames) {
    ProxySetting setting{.url = "http://proxy:3128", .source = "https_proxy"};
    const auto is_for = [&](const char* exception) {
        setting.exceptions = {exception};
        return setting.is_for("live.kudoway.ca");
    };
    for (const char* exception :
         {"*", "kudoway.ca", ".kudoway.ca", "*.kudoway.ca", "live.kudoway.ca", "KUDOWAY.CA", "kudoway.ca:443"})
        EXPECT_FALSE(is_for(exception)) << exception;
    for (const char* exception : {"", ".", "way.ca", "kudoway.com", "kudoway.ca:80", "x.live.kudoway.ca", "<local>"})
        EXPECT_TRUE(is_for(exception)) << exception;
    ProxySettings settings{.proxies = {setting}};
    EXPECT_TRUE(settings.may_proxy("live.kudoway.ca"));
    settings.proxies.front().exceptions = {"*"};
    EXPECT_FALSE(settings.may_proxy("live.kudoway.ca"));
    settings.scripts.emplace_back("http://wpad/x.pac (KDE)");
    EXPECT_TRUE(settings.may_proxy("live.kudoway.ca"));
}

// --- This host's firewall

class DoctorFirewall : public testing::Test {
protected:
    DoctorFirewall() {
        subject_.routes.push_back({.service = "media",
                                   .range = Prefix::parse("3.123.12.128/28").value(),
                                   .address = address("3.123.12.129"),
                                   .ports = {PortRule::parse("udp/3478").value()},
                                   .route = {.kind = RouteState::Kind::Unicast, .interface = "eth0"},
                                   .source = address("10.0.0.2")});
    }
    CheckReport out(const std::string& objects) const {
        return judge_ruleset(ruleset(objects), subject_, FirewallSide::Out);
    }
    CheckReport in(const std::string& objects) const {
        return judge_ruleset(ruleset(objects), subject_, FirewallSide::In);
    }
    Subject subject_;
};

TEST_F(DoctorFirewall, WhatIsCertainFailsAndWhatDependsWarns) {
    EXPECT_EQ(out("").result, CheckResult::Pass);
    EXPECT_EQ(out(base("o", "output", 0, "drop")).result, CheckResult::Fail);
    EXPECT_EQ(
        out(base("o", "output", 0) + rule("o", 2, match(R"({"meta":{"key":"skuid"}})", "1000") + "," + drop)).result,
        CheckResult::Warn);
    EXPECT_EQ(out(base("o", "output", 0) + rule("o", 2, payload("udp", "dport", "53") + "," + drop)).result,
              CheckResult::Pass);
    EXPECT_EQ(in(base("i", "input", 0, "drop")).result, CheckResult::Fail);
    EXPECT_EQ(in(base("i", "input", 0, "drop") +
                 rule("i", 2, match(R"({"ct":{"key":"state"}})", "[2,4]", "in") + "," + accept))
                  .result,
              CheckResult::Pass);
    EXPECT_EQ(in(base("o", "output", 0, "drop")).result, CheckResult::Pass) << "the other side's";
}

TEST_F(DoctorFirewall, TheFixAllowsExactlyWhatIsDropped) {
    EXPECT_EQ(out(base("o", "output", 0, "drop")).fix,
              "nft 'insert rule inet t o ip daddr { 3.123.12.128/28 } udp dport 3478 accept'");
    EXPECT_EQ(in(base("i", "input", 0, "drop")).fix,
              "nft 'insert rule inet t i ip saddr { 3.123.12.128/28 } udp sport 3478 ct state established accept'");
}

TEST_F(DoctorFirewall, TablesOfIptablesAreChangedByIptables) {
    const std::string table = R"({"table":{"family":"ip","name":"filter","handle":1}})";
    const auto chain = [](const char* name) {
        return fmt::format(R"(,{{"chain":{{"family":"ip","table":"filter","name":"{}","handle":1,"type":"filter",)"
                           R"("hook":"output","prio":0,"policy":"drop"}}}})",
                           name);
    };
    EXPECT_EQ(out(chain("OUTPUT")).fix,
              "iptables-nft -t filter -I OUTPUT -d 3.123.12.128/28 -p udp --dport 3478 -j ACCEPT");
    EXPECT_TRUE(out(chain("output")).fix.starts_with("nft 'insert rule ip filter output ")) << out(chain("output")).fix;
}

TEST(DoctorCommands, ANameIsOneWordWhateverIsInIt) {
    EXPECT_EQ(shell_command({"ip", "link", "set", "dev", "eth0.7", "up"}), "ip link set dev eth0.7 up");
    EXPECT_EQ(shell_command({"ip", "x;id"}), "ip 'x;id'");
    EXPECT_EQ(shell_command({"ip", "$(id)'a"}), "ip '$(id)'\\''a'");
    EXPECT_EQ(shell_command({"ip", "a\x1b[2J"}), "") << "control characters";
    std::string all;
    for (const char* each : {"one", "", "two"})
        add_command(all, each);
    EXPECT_EQ(all, "one && two");
}

TEST(DoctorChecks, EachHasANameOfItsOwn) {
    std::set<std::string> names;
    for (const NamedReport& check : doctor_checks()) {
        EXPECT_TRUE(names.insert(check.name).second) << check.name;
        EXPECT_EQ(check.report.result, CheckResult::Skip) << "nothing was looked at yet";
    }
    EXPECT_GE(names.size(), 30u);
}

} // namespace
} // namespace kudo::test
