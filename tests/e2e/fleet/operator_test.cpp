// SPDX-License-Identifier: MIT
// The operator's commands through the real program, with keys of the real minisign, on a real message server.
#include <gtest/gtest.h>

#include <algorithm>
#include <thread>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "agent/fleet/layout.h"
#include "agent/sources/nats/connection.h"
#include "maps/trust/bundle.h"
#include "tests/support/nats_agent.h"
#include "tests/support/nats_server.h"
#include "tests/support/process.h"

namespace kudo::test {
namespace {

using namespace std::chrono_literals;

std::string map_text(uint64_t serial, const std::string& more = "", const std::string& effective = "2022-03-01") {
    return fmt::format(R"({{"format": "kudo-range-map/1", "serial": {}, "issued": "2022-03-01T00:00:00Z",
 "effective": "{}T00:00:00Z", {}"services": [{{"name": "media", "class": "media", "regions": ["*"],
 "ports": ["udp/3478"], "ipv4": ["3.123.12.128/28"]}}]}}
)",
                       serial, effective, more);
}

class Fleet : public testing::Test {
protected:
    void SetUp() override {
        server_.start();
        options_ = quick_nats_options(server_.url());
        std::filesystem::create_directory(folder_.path() / "keys");
        folder_.write("config.toml", "");
        make_key("operator", "keys/operator.pub");
        make_key("other", "other.pub");
    }

    [[nodiscard]] std::string file(const std::string& name) const { return (folder_.path() / name).string(); }
    void make_key(const std::string& name, const std::string& public_key) {
        const Outcome made = run_program({"minisign", "-G", "-W", "-p", file(public_key), "-s", file(name + ".key")});
        ASSERT_EQ(made.status, 0) << made.err;
    }
    [[nodiscard]] std::string public_key(const std::string& path) const {
        const std::string text = read(path);
        return text.substr(text.find('\n') + 1, 56);
    }
    [[nodiscard]] std::string read(const std::string& name) const { return run_program({"cat", file(name)}).out; }
    // A file with this content, signed with this key; empty: not signed.
    std::string document(const std::string& name, const std::string& content, const std::string& key = "operator") {
        folder_.write(name, content);
        std::filesystem::remove(file(name + ".minisig"));
        if (!key.empty()) {
            const Outcome signed_ = run_program({"minisign", "-S", "-s", file(key + ".key"), "-m", file(name)});
            EXPECT_EQ(signed_.status, 0) << signed_.err;
        }
        return file(name);
    }
    Outcome fleet(std::vector<std::string> words, const std::string& url = "") const {
        const std::string keys = file("keys");
        const bool has_keys = words[0] != "status";
        words.insert(words.begin(), {KUDO_AGENT_PROGRAM, "--config", file("config.toml"), "fleet"});
        words.insert(words.end(), {"--nats", url.empty() ? server_.url() : url, "--fleet", "acme"});
        if (has_keys) words.insert(words.end(), {"--keys", keys});
        return run_program(words);
    }
    Outcome publish(const std::string& path, const std::string& ring = "canary",
                    std::vector<std::string> more = {}) const {
        more.insert(more.begin(), {"publish", path, "--ring", ring});
        return fleet(more);
    }
    Outcome promote(std::vector<std::string> more = {}) const {
        more.insert(more.begin(), {"promote", "--from", "canary", "--to", "stable"});
        return fleet(more);
    }
    [[nodiscard]] nlohmann::json status(std::vector<std::string> more = {}) const {
        more.insert(more.begin(), {"status", "--json"});
        const Outcome outcome = fleet(more);
        return nlohmann::json::parse(outcome.out);
    }
    [[nodiscard]] std::string value(const std::string& key) const {
        auto connection = NatsConnection::open(options_);
        auto bucket = connection->bucket(maps_bucket("acme"));
        if (!bucket) return "";
        const auto entry = bucket->read(key);
        return entry && *entry ? (*entry)->value : "";
    }
    void put_report(
        const std::string& host, uint64_t serial,
        const std::function<void(HostReport&)>& change = [](HostReport&) {}) const {
        HostReport report;
        report.host = host;
        report.fleet = "acme";
        report.ring = "canary";
        report.serial = serial;
        report.health = health_good;
        change(report);
        put_host(host, to_json(report), report.identity);
    }
    void put_host(const std::string& host, const std::string& text, const std::string& identity = "") const {
        auto connection = NatsConnection::open(options_);
        auto bucket = connection->make_bucket(hosts_bucket("acme"), 1);
        ASSERT_TRUE(bucket->put(host_key(host, identity), text));
    }

    NatsServer server_;
    TemporaryFolder folder_;
    NatsOptions options_;
};

TEST_F(Fleet, PublishSendsASignedMapAsItIs) {
    const Outcome outcome = publish(document("map.json", map_text(10)));
    ASSERT_EQ(outcome.status, 0) << outcome.err;
    EXPECT_EQ(outcome.out, "published range map 10 to ring canary of fleet acme\n");
    const auto bundle = split_bundle(value("ring.canary.map")).value();
    EXPECT_EQ(bundle.document, map_text(10));
    EXPECT_EQ(bundle.signatures, read("map.json.minisig"));
    EXPECT_EQ(value("ring.stable.map"), "");
}

TEST_F(Fleet, PublishAsksNobodyBeforeItHasVerified) {
    const std::string nowhere = "nats://127.0.0.1:1";
    const auto refused = [&](const std::string& path, const std::string& words) {
        const Outcome outcome = fleet({"publish", path, "--ring", "canary"}, nowhere);
        EXPECT_EQ(outcome.status, 2) << outcome.err;
        EXPECT_NE(outcome.err.find(words), std::string::npos) << outcome.err;
    };
    refused(document("unsigned.json", map_text(10), ""), "unsigned.json.minisig");
    refused(document("stranger.json", map_text(10), "other"), "stranger.json");
    refused(document("wrong.json", "{}"), "wrong.json: format");
    const std::string changed = document("changed.json", map_text(10));
    folder_.write("changed.json", map_text(11));
    refused(changed, "changed.json");
    refused(document("audience.json", map_text(10, "\"audience\": \"other\", ")), "is for other, not for acme/canary");
    refused(document("ring.json", map_text(10, "\"audience\": \"acme/stable\", ")),
            "is for acme/stable, not for acme/canary");
    refused(document("expired.json", map_text(10, "\"expires\": \"2022-04-01T00:00:00Z\", ")), "has expired");
    const Outcome unreachable = fleet({"publish", document("map.json", map_text(10)), "--ring", "canary"}, nowhere);
    EXPECT_EQ(unreachable.status, 1);
    EXPECT_NE(unreachable.err.find("nats://127.0.0.1:1: cannot connect"), std::string::npos) << unreachable.err;
}

TEST_F(Fleet, ASerialNeverGoesDownAndIsUsedOnce) {
    ASSERT_EQ(publish(document("ten.json", map_text(10))).status, 0);
    const Outcome again = publish(file("ten.json"));
    EXPECT_EQ(again.status, 0);
    EXPECT_NE(again.out.find("nothing to do"), std::string::npos) << again.out;
    const std::string before = value("ring.canary.map");
    const Outcome lower = publish(document("nine.json", map_text(9)));
    EXPECT_EQ(lower.status, 2);
    EXPECT_NE(lower.err.find("ring canary has range map 10 already"), std::string::npos) << lower.err;
    const Outcome other = publish(document("other.json", map_text(10, "\"expires\": null, ")));
    EXPECT_EQ(other.status, 2);
    EXPECT_NE(other.err.find("a serial is used only once"), std::string::npos) << other.err;
    EXPECT_EQ(value("ring.canary.map"), before);
    const Outcome higher = publish(document("eleven.json", map_text(11)));
    EXPECT_EQ(higher.out, "published range map 11 to ring canary of fleet acme, after 10\n") << higher.err;
}

TEST_F(Fleet, AMapThatEveryHostWouldRefuseIsNotPublished) {
    const auto with_ranges = [](uint64_t serial, const std::string& ranges, const std::string& more = "") {
        std::string text = map_text(serial, more);
        const std::string range = "\"3.123.12.128/28\"";
        return text.replace(text.find(range), range.size(), ranges);
    };
    const auto refused = [&](const std::string& text, const std::string& words) {
        const Outcome outcome = publish(document("bad.json", text));
        EXPECT_EQ(outcome.status, 2) << outcome.out;
        EXPECT_NE(outcome.err.find("bad.json: " + words), std::string::npos) << outcome.err;
    };
    const std::string wide = R"("2.0.0.0/7", "10.0.0.0/8")", two = R"("3.123.12.128/28", "3.7.161.0/26")";
    refused(with_ranges(10, wide), "services[0].ipv4[0]: 2.0.0.0/7 is wider than /8; services[0].ipv4[1]: 10.0.0.0/8");
    EXPECT_EQ(value("ring.canary.map"), "");
    const std::string meant = R"("overrides": ["special-address", "wide-prefix"], )";
    EXPECT_EQ(publish(document("meant.json", with_ranges(10, wide, meant))).status, 0);
    EXPECT_EQ(publish(document("two.json", with_ranges(11, two, R"("overrides": ["shrink"], )"))).status, 0);
    const std::string before = value("ring.canary.map");
    refused(map_text(12), "services: 1 of the 2 ranges of serial 11 would be gone");
    EXPECT_EQ(value("ring.canary.map"), before);
    EXPECT_EQ(publish(document("less.json", map_text(12, R"("overrides": ["shrink"], )"))).status, 0);
    EXPECT_EQ(publish(document("two.json", with_ranges(13, two))).status, 0);
    refused(map_text(14), "services: 1 of the 2 ranges of serial 13 would be gone");
    EXPECT_EQ(publish(document("operators.json", map_text(14)), "canary", {"--override", "shrink"}).status, 0);
}

TEST_F(Fleet, WhatASmallerRingWouldLoseIsNotPromotedUnlessItIsMeant) {
    ASSERT_EQ(publish(document("map.json", map_text(10))).status, 0);
    std::string other = map_text(9);
    other.replace(other.find("3.123.12.128/28"), 15, "3.7.161.0/26");
    ASSERT_EQ(publish(document("other.json", other), "stable").status, 0);
    put_report("a", 10);
    const std::string before = value("ring.stable.map");
    const Outcome outcome = promote();
    EXPECT_EQ(outcome.status, 2) << outcome.out;
    EXPECT_NE(outcome.err.find("1 of the 1 ranges of serial 9 would be gone"), std::string::npos) << outcome.err;
    EXPECT_EQ(value("ring.stable.map"), before);
}

TEST_F(Fleet, WhatNobodyHasSignedDoesNotKeepTheRightMapOut) {
    make_buckets(options_);
    put_document(options_, map_text(1'000'000));
    const Outcome outcome = publish(document("map.json", map_text(10)));
    EXPECT_EQ(outcome.status, 0) << outcome.err;
    EXPECT_NE(outcome.out.find("note: the previous document of ring canary was not signed by these keys"),
              std::string::npos);
    EXPECT_EQ(split_bundle(value("ring.canary.map")).value().document, map_text(10));
}

TEST_F(Fleet, AKeySetTravelsTheSameWaySignedByOldAndNew) {
    const std::string keys = fmt::format(
        R"({{"format": "kudo-key-set/1", "serial": 2, "threshold": 1, "keys": ["{}"]}})", public_key("other.pub"));
    const Outcome alone = publish(document("set.json", keys));
    EXPECT_EQ(alone.status, 2) << "the new key has not signed";
    const std::string by_operator = read("set.json.minisig");
    document("set.json", keys, "other");
    folder_.write("both.minisig", by_operator + read("set.json.minisig"));
    const Outcome both = fleet({"publish", file("set.json"), "--ring", "canary", "--signature", file("both.minisig")});
    ASSERT_EQ(both.status, 0) << both.err;
    EXPECT_EQ(both.out, "published key set 2 to ring canary of fleet acme\n");
    EXPECT_EQ(split_bundle(value("ring.canary.keys")).value().document, keys);
    EXPECT_EQ(value("ring.canary.map"), "");

    put_report("a", 0, [](HostReport& report) { report.key_set_serial = 0; });
    const Outcome early = promote({"--key-set"});
    EXPECT_EQ(early.status, 4);
    EXPECT_NE(early.out.find("has its administrator's keys, not key set 2"), std::string::npos) << early.out;
    put_report("a", 0, [](HostReport& report) { report.key_set_serial = 2; });
    EXPECT_EQ(promote({"--key-set"}).status, 0);
    EXPECT_EQ(value("ring.stable.keys"), value("ring.canary.keys"));
}

TEST_F(Fleet, ANewMapReachesAHostWhoseReportLetsItBePromoted) {
    ASSERT_EQ(publish(document("map.json", map_text(10))).status, 0);
    NatsAgent agent(options_);
    ASSERT_TRUE(agent.serve_until_delivered(map_text(10)));
    agent.report(10);
    ASSERT_TRUE(agent.serve_until([&] { return !stored_report(options_).empty(); }, 20s));
    const Outcome outcome = promote();
    EXPECT_EQ(outcome.status, 0) << outcome.out << outcome.err;
    EXPECT_EQ(outcome.out, "promoted range map 10 from ring canary to stable: 1 of 1 hosts are healthy and have it\n");
    EXPECT_EQ(value("ring.stable.map"), value("ring.canary.map"));
    EXPECT_NE(promote().out.find("nothing to do"), std::string::npos);
}

TEST_F(Fleet, PromoteRefusesARingThatIsNotWell) {
    ASSERT_EQ(publish(document("map.json", map_text(10))).status, 0);
    const auto refused = [&](const std::string& words, const std::vector<std::string>& more = {}) {
        const Outcome outcome = promote(more);
        EXPECT_EQ(outcome.status, 4) << outcome.out << outcome.err;
        EXPECT_NE(outcome.out.find(words), std::string::npos) << outcome.out;
        EXPECT_EQ(value("ring.stable.map"), "");
    };
    refused("no host of the ring has reported");
    put_report("good-1", 10);
    put_report("late-2", 9);
    put_report("elsewhere", 10, [](HostReport& report) { report.ring = "stable"; });
    refused("1 of 2 hosts are healthy and have it; 100% are required");
    refused("late-2");
    refused("has 9, not 10");
    put_report("late-2", 10, [](HostReport& report) {
        report.health = health_degraded;
        report.problems = {"eth0 is gone"};
    });
    refused("degraded: eth0 is gone");
    put_report("late-2", 10, [](HostReport& report) { report.alarms = {"serial 9 again"}; });
    refused("alarms on 1 of 2 hosts", {"--require", "50%"});
    refused("alarm: serial 9 again");
    put_report("late-2", 10);
    put_host("late-2x", "{");
    refused("1 host unknown");
    EXPECT_EQ(promote({"--require", "66%"}).status, 0);
}

// A report of one of several machines; `hour`: when it was booted, and it reports half an hour later.
std::function<void(HostReport&)> of_machine(const std::string& machine, const std::string& identity, int hour,
                                            std::string_view health = health_good) {
    return [=](HostReport& report) {
        report.machine = machine;
        report.identity = identity;
        report.booted = parse_rfc3339("2022-04-01T00:00:00Z").value() + std::chrono::hours(hour);
        report.time = report.booted + std::chrono::minutes(30);
        report.health = health;
    };
}

TEST_F(Fleet, TwoMachinesOfOneNameAreAClashThatHoldsPromotion) {
    ASSERT_EQ(publish(document("map.json", map_text(10))).status, 0);
    put_report("web-1", 10, of_machine("aa", "a1", 1));
    put_report("web-1", 10, of_machine("bb", "b1", 1));
    const Outcome outcome = promote({"--require", "50%"});
    EXPECT_EQ(outcome.status, 4) << outcome.out;
    EXPECT_NE(outcome.out.find("2 of 2 machines report under a name that another one has too"), std::string::npos)
        << outcome.out;
    EXPECT_EQ(status().at("rings").at(0).at("clashing"), 2);
    EXPECT_NE(fleet({"status"}).out.find("machine a1 is one of 2 that report under this name"), std::string::npos);
}

TEST_F(Fleet, AHostThatWasBootedAgainIsNoClash) {
    ASSERT_EQ(publish(document("map.json", map_text(10))).status, 0);
    put_report("web-1", 9);
    put_report("web-1", 9, of_machine("aa", "a1", 1, health_degraded));
    put_report("web-1", 10, of_machine("aa", "a2", 2));
    EXPECT_EQ(promote().status, 0) << promote().out;
    EXPECT_EQ(status().at("hosts"), 1);
}

TEST_F(Fleet, ClonesOfOneMachineThatRunAtTheSameTimeAreAClash) {
    ASSERT_EQ(publish(document("map.json", map_text(10))).status, 0);
    put_report("web-1", 10, of_machine("aa", "a1", 1));
    put_report("web-1", 10, [](HostReport& report) {
        of_machine("aa", "a2", 1)(report);
        report.booted += std::chrono::minutes(10); // before the other's last report
    });
    EXPECT_EQ(promote().status, 4);
}

TEST_F(Fleet, PromoteRefusesWhenSilentHostsMakeItImpossibleToKnow) {
    ASSERT_EQ(publish(document("map.json", map_text(10))).status, 0);
    put_report("silent", 10);
    std::this_thread::sleep_for(9s);
    put_report("good", 10);
    const Outcome outcome = promote({"--silent-after", "8s", "--json"});
    EXPECT_EQ(outcome.status, 4);
    const auto json = nlohmann::json::parse(outcome.out);
    EXPECT_EQ(json.at("promoted"), false);
    EXPECT_EQ(json.at("good"), 1);
    EXPECT_EQ(json.at("stragglers").size(), 1U);
    EXPECT_EQ(json.at("stragglers").at(0).at("host"), "silent");
    EXPECT_EQ(json.at("reasons").at(1), "1 host unknown: silent, or with a report that cannot be read");
    EXPECT_EQ(status({"--silent-after", "8s"}).at("rings").at(0).at("silent"), 1);
}

TEST_F(Fleet, AStagedMapCountsUntilItsDateAndNotAfterwards) {
    const auto stage = [](uint64_t serial) { return [serial](HostReport& report) { report.staged_serial = serial; }; };
    ASSERT_EQ(publish(document("past.json", map_text(10))).status, 0);
    put_report("a", 9, stage(10));
    EXPECT_EQ(promote().status, 4) << "its date has come";
    ASSERT_EQ(publish(document("ahead.json", map_text(11, "", "2200-01-01"))).status, 0);
    put_report("a", 9, stage(11));
    EXPECT_EQ(promote().status, 0);
    EXPECT_EQ(split_bundle(value("ring.stable.map")).value().document, map_text(11, "", "2200-01-01"));
}

TEST_F(Fleet, PromoteVerifiesAgainAndSendsNothingThatTheServerMadeUp) {
    ASSERT_EQ(publish(document("map.json", map_text(10))).status, 0);
    put_report("a", 11);
    Bundle bundle = split_bundle(value("ring.canary.map")).value();
    put_document(options_, map_text(11), bundle.signatures);
    const Outcome outcome = promote();
    EXPECT_EQ(outcome.status, 2) << outcome.out;
    EXPECT_NE(outcome.err.find("ring.canary.map"), std::string::npos) << outcome.err;
    EXPECT_EQ(value("ring.stable.map"), "");
}

TEST_F(Fleet, PromoteHonoursTheAudience) {
    ASSERT_EQ(publish(document("map.json", map_text(10, "\"audience\": \"acme/canary\", "))).status, 0);
    put_report("a", 10);
    const Outcome outcome = promote();
    EXPECT_EQ(outcome.status, 2);
    EXPECT_NE(outcome.err.find("is for acme/canary, not for acme/stable"), std::string::npos) << outcome.err;
}

TEST_F(Fleet, StatusCountsByRingAndNamesStragglers) {
    EXPECT_EQ(fleet({"status"}).status, 0) << "an empty fleet has no stragglers";
    ASSERT_EQ(publish(document("map.json", map_text(10))).status, 0);
    for (int i = 0; i < 30; ++i)
        put_report(fmt::format("good-{:02}", i), 10);
    put_report("late", 9, [](HostReport& report) {
        report.staged_serial = 12;
        report.staged_effective = parse_rfc3339("2200-01-01T00:00:00Z").value();
    });
    put_report("sick", 10, [](HostReport& report) { report.health = health_degraded; });
    const auto json = status();
    EXPECT_EQ(json.at("hosts"), 32);
    EXPECT_EQ(json.at("healthy"), false);
    const auto& ring = json.at("rings").at(0);
    EXPECT_EQ(ring.at("ring"), "canary");
    EXPECT_EQ(ring.at("map").at("serial"), 10);
    EXPECT_EQ(ring.at("key_set"), nullptr);
    EXPECT_EQ(ring.at("hosts"), 32);
    EXPECT_EQ(ring.at("good"), 30);
    EXPECT_EQ(ring.at("serials"), (nlohmann::json{{"9", 1}, {"10", 31}}));
    EXPECT_EQ(ring.at("staged_serials"), (nlohmann::json{{"12", 1}}));
    EXPECT_EQ(ring.at("degraded"), 1);
    EXPECT_EQ(ring.at("silent"), 0);
    EXPECT_EQ(ring.at("stragglers").at(0).at("host"), "late");
    EXPECT_EQ(ring.at("stragglers").at(0).at("why").at(0), "has 9, 12 staged, not 10");
    EXPECT_EQ(ring.at("stragglers").at(1).at("host"), "sick");
    EXPECT_FALSE(ring.contains("members"));
    const auto members = status({"--hosts"}).at("rings").at(0).at("members");
    EXPECT_EQ(members.size(), 32U);
    EXPECT_EQ(members.at(0).at("host"), "good-00");
    EXPECT_EQ(members.at(0).at("serial"), 10);
    EXPECT_EQ(members.at(0).at("health"), "healthy");
    const Outcome table = fleet({"status"});
    EXPECT_EQ(table.status, 4);
    EXPECT_NE(table.out.find("10: 31, 9: 1"), std::string::npos) << table.out;
    EXPECT_NE(table.out.find("late"), std::string::npos);
    EXPECT_EQ(table.out.find("good-"), std::string::npos) << "only stragglers are named";
}

TEST_F(Fleet, WhatAHostWritesNeverReachesATerminalAsItIs) {
    put_host("evil", "{\"format\": \"\x1b]0;owned\x07\"}");
    put_host("liar", to_json([] {
                 HostReport report;
                 report.host = "somebody-else";
                 report.fleet = "acme";
                 report.ring = "canary";
                 report.health = health_good;
                 return report;
             }()));
    put_host("huge", std::string(host_report_max_bytes + 1, ' '));
    const Outcome table = fleet({"status"});
    EXPECT_EQ(table.status, 4);
    EXPECT_EQ(table.out.find('\x1b'), std::string::npos) << table.out;
    EXPECT_NE(table.out.find("its report is from another host, somebody-else"), std::string::npos) << table.out;
    EXPECT_EQ(status().at("unreadable").size(), 3U);
    EXPECT_EQ(status().at("rings").size(), 0U);
}

TEST_F(Fleet, OptionsThatCannotBeAreNamed) {
    const auto refusal = [&](const std::vector<std::string>& words, const std::string& url = "") {
        const Outcome outcome = fleet(words, url);
        EXPECT_EQ(outcome.status, 2) << outcome.out;
        return outcome.err;
    };
    EXPECT_NE(refusal({"status"}, "http://x").find("--nats: \"http://x\" is not a URL"), std::string::npos);
    EXPECT_EQ(refusal({"status"}, "x://user:secret@host").find("secret"), std::string::npos);
    for (const char* url : {"nats://user:secret@host", "nats://secret@host", "nats://a:1,tls://user:secret@b:1"}) {
        const std::string text = refusal({"status"}, url);
        EXPECT_NE(text.find("--nats-credentials"), std::string::npos) << text;
        EXPECT_EQ(text.find("secret"), std::string::npos) << text;
    }
    EXPECT_NE(refusal({"status", "--silent-after", "soon"}).find("--silent-after"), std::string::npos);
    EXPECT_NE(refusal({"promote", "--from", "a", "--to", "a"}).find("--to: the same ring"), std::string::npos);
    EXPECT_NE(refusal({"promote", "--from", "a", "--to", "b", "--require", "101%"}).find("--require"),
              std::string::npos);
    EXPECT_NE(refusal({"promote", "--from", "a", "--to", "b"}).find("publish first"), std::string::npos);
    EXPECT_NE(refusal({"publish", document("m.json", map_text(1)), "--ring", "a.b"}).find("--ring"), std::string::npos);
    EXPECT_NE(refusal({"publish", file("m.json"), "--ring", "a", "--key-threshold", "2"}).find("--key-threshold"),
              std::string::npos);
}

TEST_F(Fleet, TheServicesWaitsMayBeSetWithinTheirLimits) {
    const auto check = [&](std::vector<std::string> words) {
        words.insert(words.begin(), {KUDO_AGENT_PROGRAM, "--config", file("config.toml"), "--keys", file("keys"), "run",
                                     "--check", "--nats", server_.url(), "--fleet", "acme", "--ring", "canary"});
        return run_program(words);
    };
    for (const std::vector<std::string>& words : std::vector<std::vector<std::string>>{
             {},
             {"--nats-timeout", "100ms", "--nats-health-check", "100ms", "--nats-doorbell-spread", "0"},
             {"--nats-timeout", "20s", "--nats-health-check", "2m", "--nats-doorbell-spread", "5m"}})
        EXPECT_EQ(check(words).status, 0) << testing::PrintToString(words) << check(words).err;
    for (const auto& [option, value] : {std::pair("--nats-timeout", "99ms"),
                                        {"--nats-timeout", "21s"},
                                        {"--nats-timeout", "5"},
                                        {"--nats-health-check", "0"},
                                        {"--nats-health-check", "121s"},
                                        {"--nats-health-check", "often"},
                                        {"--nats-doorbell-spread", "301s"},
                                        {"--nats-doorbell-spread", "-1s"}}) {
        const Outcome outcome = check({std::string(option) + "=" + value});
        EXPECT_EQ(outcome.status, 2) << option << " " << value << outcome.out;
        EXPECT_TRUE(outcome.err.starts_with("kudo-agent: " + std::string(option) + ": ")) << outcome.err;
        EXPECT_EQ(std::ranges::count(outcome.err, '\n'), 1) << outcome.err;
    }
}

} // namespace
} // namespace kudo::test
