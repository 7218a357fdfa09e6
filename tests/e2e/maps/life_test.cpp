// SPDX-License-Identifier: MIT
// Range maps through their life on one host: staged, early, activated by date, retiring, rolled back, expired; with the
// real service and a clock that the test sets.
#include <gtest/gtest.h>

#include <sys/wait.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <random>

#include <fmt/format.h>

#include "maps/document/range_map.h"
#include "tests/support/host_test.h"
#include "tests/support/minisign_key.h"
#include "tests/support/patience.h"
#include "tests/support/running_service.h"
#include "tests/support/test_clock.h"
#include "tests/support/traffic.h"

namespace kudo::test {
namespace {

using namespace std::chrono_literals;

constexpr const char* old_range = "3.123.12.128/28";
constexpr const char* new_range = "3.7.161.0/26";

std::string map_text(uint64_t serial, const std::string& effective, const std::string& ranges,
                     const std::string& more = "", const std::string& expires = "null") {
    return fmt::format(R"({{"format": "kudo-range-map/1", "serial": {}, "issued": "2022-03-01T00:00:00Z",
 "effective": "{}", "expires": {}, "overrides": ["shrink"], {}"services": [
 {{"name": "media", "class": "media", "regions": ["ca"], "ports": ["udp/3478"], "ipv4": [{}]}}]}})",
                       serial, effective, expires, more, ranges);
}
std::string quoted_text(const std::string& text) {
    return '"' + text + '"';
}
constexpr const char* long_ago = "2022-03-01T00:00:00Z";

class RangeLife : public HostTest {
protected:
    void SetUp() override {
        HostTest::SetUp();
        if (!test_) return;
        for (const char* address : {"3.123.12.129/32", "3.7.161.1/32"})
            test_->add_far_address(address);
        key_.emplace(test_->folder + "/keys", "publisher");
        drop_ = test_->folder + "/drop";
        clock_.emplace(test_->folder).stop_at("2030-01-01 00:00:00");
        std::filesystem::create_directory(drop_);
    }
    void enable_with_old_map() {
        ASSERT_EQ(
            test_->apply(test_->write_file("old.json", map_text(2022050001, long_ago, quoted_text(old_range)))).status,
            0);
        const Outcome enabled = test_->agent({"enable", "--region", "ca"});
        ASSERT_EQ(enabled.status, 0) << enabled.err;
    }
    // Signed, and put into the drop folder as a careful tool does.
    void drop(const std::string& name, const std::string& text) const {
        const std::string file = test_->write_file("staging.json", text);
        key_->sign(file);
        std::filesystem::rename(file + ".minisig", drop_ + "/" + name + ".minisig");
        std::filesystem::rename(file, drop_ + "/" + name);
    }
    [[nodiscard]] std::vector<std::string> service_arguments() const {
        return {"--keys", test_->folder + "/keys", "--drop-folder", drop_, "--reconcile-every", "1s", "--reread-every",
                "2s"};
    }
    [[nodiscard]] uint64_t serial() const { return test_->status().at("map").at("serial"); }
    [[nodiscard]] std::string service_of(const std::string& address) const {
        const auto json = nlohmann::json::parse(test_->agent({"explain", address, "udp/3478", "--json"}).out);
        return json.dump();
    }
    [[nodiscard]] std::vector<std::string> events() const {
        std::vector<std::string> result;
        const auto json = nlohmann::json::parse(test_->agent({"ranges", "history", "--json"}).out);
        for (const auto& entry : json.at("history"))
            result.push_back(entry.at("event").get<std::string>() + " " +
                             std::to_string(entry.at("serial").get<uint64_t>()));
        return result;
    }

    std::optional<MinisignKey> key_;
    std::string drop_;
    std::optional<TestClock> clock_; // the service's
};

TEST_F(RangeLife, AStagedMapsAdditionsAreHonouredEarlyAndWhatItWithdrawsRetiresAndIsCountedApart) {
    enable_with_old_map();
    const std::string date = "2030-02-01T00:00:00Z";
    RunningService service(*test_, service_arguments(), clock_->environment());
    drop("new.json", map_text(2022050002, date, quoted_text(new_range)));
    ASSERT_TRUE(eventually([&] { return !test_->status().at("staged").is_null(); })) << service.log();
    EXPECT_EQ(test_->status().at("staged").at("effective"), date);
    EXPECT_NE(test_->status().at("staged").at("changes").dump().find("3.7.161.0/26"), std::string::npos);
    EXPECT_NE(test_->agent({"ranges", "show"}).out.find("+ media range 3.7.161.0/26"), std::string::npos);
    EXPECT_EQ(serial(), 2022050001U);
    EXPECT_NE(service_of("3.7.161.1").find("media~early"), std::string::npos);
    clock_->stop_at("2030-02-01 00:00:00");
    ASSERT_TRUE(eventually([&] { return serial() == 2022050002; })) << service.log();
    EXPECT_TRUE(test_->status().at("staged").is_null());
    EXPECT_NE(service_of("3.123.12.129").find("media~retiring"), std::string::npos);
    // A flow to a retiring range is marked as before, and counted apart.
    const Endpoint far_end{"3.123.12.129", 3478};
    const Fd far = udp_socket(test_->far, far_end), near = udp_socket(test_->host, {"10.77.0.2", 40000});
    send_datagrams(near.get(), far_end, far.get(), 10, 100);
    const auto stats = test_->stats();
    EXPECT_EQ(stats.at("services").at("media~retiring").at("egress").at("packets"), 10);
    EXPECT_EQ(stats.at("services").at("media").at("egress").at("packets"), 0);
    EXPECT_EQ(events(),
              (std::vector<std::string>{"activated 2022050001", "staged 2022050002", "activated 2022050002"}));
    EXPECT_EQ(test_->agent({"status"}).status, 0);
}

TEST_F(RangeLife, OnlyWhatIsWithdrawnIsShownAsRetiring) {
    enable_with_old_map();
    const auto apply = [&](uint64_t serial, const std::string& ranges) {
        const std::string file = test_->write_file("new.json", map_text(serial, long_ago, ranges));
        ASSERT_EQ(test_->agent({"ranges", "apply", file, "--allow-unsigned"}).status, 0);
    };
    const auto retiring = [&] {
        std::vector<int> ranges;
        const auto status = test_->status();
        for (const auto& map : status.at("retiring"))
            ranges.push_back(map.at("ranges").get<int>());
        return ranges;
    };
    apply(2022050002, quoted_text(old_range) + ", " + quoted_text(new_range));
    EXPECT_EQ(retiring(), std::vector{0}) << "it has only added";
    EXPECT_EQ(test_->agent({"status"}).out.find("retiring"), std::string::npos) << test_->agent({"status"}).out;
    apply(2022050003, quoted_text(new_range));
    EXPECT_EQ(retiring(), (std::vector{1, 0})) << "the newest first; what two maps had retires with one";
    EXPECT_NE(test_->agent({"status"}).out.find("1 range of 2022050002 that the map in effect lacks"),
              std::string::npos)
        << test_->agent({"status"}).out;
    EXPECT_EQ(test_->agent({"status"}).out.find("of 2022050001"), std::string::npos);
}

TEST_F(RangeLife, WithoutEarlyAdditionsAStagedMapChangesNothingYet) {
    enable_with_old_map();
    const std::string file =
        test_->write_file("new.json", map_text(2022050002, "2099-01-01T00:00:00Z", quoted_text(new_range)));
    ASSERT_EQ(test_->agent({"ranges", "apply", file, "--allow-unsigned", "--no-early-additions"}).status, 0);
    EXPECT_EQ(service_of("3.7.161.1").find("media~early"), std::string::npos);
    EXPECT_FALSE(test_->status().at("staged").is_null());
}

TEST_F(RangeLife, TheClockMayStepTenYearsEitherWayAndAMapIsActivatedOnceAndNeverTakenBack) {
    enable_with_old_map();
    auto environment = clock_->environment();
    environment.emplace_back(RunningService::tells_of_its_rounds);
    RunningService service(*test_, service_arguments(), environment);
    drop("new.json",
         map_text(2022050002, "2030-02-01T00:00:00Z", quoted_text(new_range), "", "\"2031-01-01T00:00:00Z\""));
    ASSERT_TRUE(eventually([&] { return !test_->status().at("staged").is_null(); }, 20s)) << service.log();
    for (const char* before : {"2020-01-01 00:00:00", "2030-01-31 23:59:00"}) {
        clock_->stop_at(before);
        ASSERT_TRUE(service.has_looked(3)) << service.log();
        EXPECT_EQ(serial(), 2022050001U) << before;
    }
    clock_->stop_at("2030-02-01 00:00:00");
    ASSERT_TRUE(eventually([&] { return serial() == 2022050002; }, 20s)) << service.log();
    const auto generation = test_->status().at("generation");
    for (const char* after :
         {"2020-02-01 00:00:00", "2030-01-15 00:00:00", "2040-02-01 00:00:00", "2030-02-02 00:00:00"}) {
        clock_->stop_at(after);
        ASSERT_TRUE(service.has_looked(3)) << service.log();
        EXPECT_EQ(serial(), 2022050002U) << after;
        EXPECT_EQ(test_->status().at("generation"), generation) << "something was withdrawn or added at " << after;
    }
    const auto what = events();
    EXPECT_EQ(std::ranges::count(what, "activated 2022050002"), 1) << testing::PrintToString(what);
    EXPECT_EQ(std::ranges::count(what, "retired 2022050001"), 0) << "ten years of a wrong clock are no grace period";
}

TEST_F(RangeLife, AnExpiredMapIsAnAlarmAndJudgesOn) {
    const std::string file = test_->write_file(
        "short.json", map_text(2022050001, long_ago, quoted_text(old_range), "", quoted_text("2031-01-01T00:00:00Z")));
    ASSERT_EQ(test_->apply(file).status, 0);
    ASSERT_EQ(test_->agent({"enable", "--region", "ca"}).status, 0);
    const auto alarms = [&] {
        return nlohmann::json::parse(test_->agent({"status", "--json"}, clock_->environment()).out).at("alarms").dump();
    };
    clock_->stop_at("2030-12-31 23:59:59");
    EXPECT_EQ(alarms(), "[]");
    clock_->stop_at("2031-01-01 00:00:01");
    EXPECT_NE(alarms().find("expired"), std::string::npos) << alarms();
    EXPECT_EQ(test_->agent({"enable", "--region", "ca"}, clock_->environment()).status, 0);
    EXPECT_EQ(serial(), 2022050001U);
    const auto rule = nlohmann::json::parse(
        test_->agent({"explain", "3.123.12.129", "udp/3478", "--json"}, clock_->environment()).out);
    EXPECT_EQ(rule.at("rules").at(0).at("egress").at("verdict"), "prioritise") << rule;
    // Not only what a command says of it: the kernel.
    const Endpoint far_end{"3.123.12.129", 3478};
    const Fd far = hearing_socket(test_->far, far_end, 2s), near = udp_socket(test_->host, {"10.77.0.2", 40000});
    send_datagram(near.get(), far_end, std::array<uint8_t, 100>{});
    EXPECT_EQ(receive_dsfield(far) >> 2, 34); // AF41
}

TEST_F(RangeLife, ARollbackHoldsTheNextPushUntilItSupersedesIt) {
    enable_with_old_map();
    RunningService service(*test_, service_arguments());
    drop("new.json", map_text(2022050002, long_ago, quoted_text(new_range)));
    ASSERT_TRUE(eventually([&] { return serial() == 2022050002; }, 20s)) << service.log();
    const Outcome back = test_->agent({"ranges", "rollback"});
    ASSERT_EQ(back.status, 0) << back.err;
    EXPECT_EQ(serial(), 2022050001U);
    EXPECT_EQ(test_->status().at("rolled_back_from"), 2022050002);
    drop("third.json", map_text(2022050003, long_ago, quoted_text(new_range)));
    ASSERT_TRUE(eventually([&] { return service.log().find("third.json") != std::string::npos; })) << service.log();
    EXPECT_EQ(serial(), 2022050001U) << "the push has undone the admin's decision";
    drop("fourth.json", map_text(2022050004, long_ago, quoted_text(new_range), "\"supersedes\": 2022050002, "));
    ASSERT_TRUE(eventually([&] { return serial() == 2022050004; }, 20s)) << service.log();
    EXPECT_TRUE(test_->status().at("rolled_back_from").is_null());
}

TEST_F(RangeLife, AServiceThatEndsLeavesTheDataPathAndTheNextOneGoesOn) {
    enable_with_old_map();
    const auto before = test_->status();
    {
        RunningService service(*test_, service_arguments());
        service.signal(SIGTERM);
        EXPECT_EQ(service.wait(), 0) << service.log();
        const auto said = service.notifications();
        EXPECT_NE(std::ranges::find(said, "STOPPING=1"), said.end());
    }
    EXPECT_EQ(test_->status(), before);
    RunningService again(*test_, service_arguments());
    EXPECT_EQ(test_->status(), before);
}

TEST_F(RangeLife, AHangupReadsEverySourceAtOnceAndChangesNothingElse) {
    enable_with_old_map();
    const std::string file = drop_ + "/new.json";
    std::vector<std::string> arguments = service_arguments();
    arguments.back() = "5m"; // --reread-every
    RunningService service(*test_, arguments);
    std::filesystem::rename(key_->public_file, test_->folder + "/away.pub");
    drop("new.json", map_text(2022050002, long_ago, quoted_text(new_range)));
    // Refused for want of a key; a file that does not change is only read again when all are.
    std::this_thread::sleep_for(4s);
    EXPECT_EQ(serial(), 2022050001U);
    std::filesystem::rename(test_->folder + "/away.pub", key_->public_file);
    service.signal(SIGHUP);
    EXPECT_TRUE(eventually([&] { return serial() == 2022050002; }, 10s)) << service.log();
    EXPECT_EQ(std::ranges::count(service.notifications(), "READY=1"), 1);
    EXPECT_TRUE(service.is_running());
}

TEST_F(RangeLife, AStagedMapThatNoLongerFitsIsAnAlarmAndEverythingElseGoesOn) {
    ASSERT_EQ(test_->agent({"enable", "--region", "ca"}).status, 0);
    const std::string file =
        test_->write_file("new.json", map_text(2022050002, "2030-02-01T00:00:00Z", quoted_text(new_range)));
    ASSERT_EQ(test_->apply(file).status, 0);
    ASSERT_EQ(test_->agent({"enable", "--region", "ca", "--teams"}).status, 0) << "the staged map knows no teams";
    clock_->stop_at("2030-02-01 00:00:00");
    RunningService service(*test_, service_arguments(), clock_->environment());
    EXPECT_TRUE(eventually(
        [&] { return test_->status().at("alarms").dump().find("cannot take effect") != std::string::npos; }, 20s))
        << service.log();
    for (const auto& link : std::filesystem::directory_iterator(test_->instance.layout().string() + "/links"))
        std::filesystem::remove(link.path());
    EXPECT_TRUE(eventually([&] { return test_->agent({"status"}).status == 0; }, 20s)) << service.log();
}

TEST_F(RangeLife, TheServiceTellsItsWatchdogThatItIsAlive) {
    RunningService service(*test_, service_arguments(), {"WATCHDOG_USEC=500000"});
    ASSERT_TRUE(eventually(
        [&] {
            const auto said = service.notifications();
            return std::ranges::count(said, "WATCHDOG=1") >= 4;
        },
        20s));
}

TEST_F(RangeLife, ASecondServiceOfTheSameStateFolderIsRefused) {
    RunningService service(*test_, service_arguments());
    const Outcome second = test_->agent({"run", "--drop-folder", drop_});
    EXPECT_EQ(second.status, 1);
    EXPECT_NE(second.err.find("another kudo-agent run"), std::string::npos) << second.err;
}

TEST_F(RangeLife, AnInterfaceThatComesIsAttachedByTheService) {
    ASSERT_EQ(test_->agent({"enable", "--region", "ca"}).status, 0);
    RunningService service(*test_, {"--reconcile-every", "30s"});
    test_->in_host({"ip", "link", "add", "new0", "type", "veth", "peer", "name", "new1"});
    test_->in_host({"ip", "link", "set", "new0", "up"});
    test_->in_host({"ip", "route", "add", "default", "dev", "new0", "metric", "700"});
    EXPECT_TRUE(eventually([&] { return test_->status().at("interfaces").size() == 2; }, 20s)) << service.log();
}

// Media flows on while new maps are pushed: every datagram to a range that both maps have is marked as media.
TEST_F(RangeLife, APushUnderLiveTrafficMisjudgesNothing) {
    enable_with_old_map();
    RunningService service(*test_, service_arguments());
    const Endpoint far_end{"3.123.12.129", 3478}, near_end{"10.77.0.2", 40000};
    const Fd far = hearing_socket(test_->far, far_end, 2s), near = udp_socket(test_->host, near_end);
    const std::array<uint8_t, 100> payload{};
    constexpr unsigned rounds = 12;
    std::vector<double> latencies;
    uint64_t sent = 0, misjudged = 0;
    for (unsigned round = 0; round < rounds && !HasFailure(); round++) {
        const uint64_t wanted = 2022050002 + round;
        const auto start = std::chrono::steady_clock::now();
        drop("push.json",
             map_text(wanted, long_ago,
                      quoted_text(old_range) + ", " + quoted_text("3." + std::to_string(round + 8) + ".0.0/24")));
        ASSERT_TRUE(eventually(
            [&] {
                for (int i = 0; i < 20; i++, sent++) {
                    send_datagram(near.get(), far_end, payload);
                    misjudged += receive_dsfield(far) >> 2 != 34; // AF41
                }
                return serial() == wanted;
            },
            20s))
            << round << ", " << misjudged << " of " << sent << " misjudged\n"
            << test_->status().dump(1) << service.log();
        latencies.push_back(std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
    }
    std::ranges::sort(latencies);
    std::cout << rounds << " pushes, " << sent << " media packets, " << misjudged
              << " misjudged; from the file to the kernel " << latencies[rounds / 2]
              << " s (median; 2 s of it wait for a file to settle)\n";
    EXPECT_EQ(misjudged, 0U);
    EXPECT_GT(static_cast<double>(sent), 1000 / patient(1.0));
}

TEST_F(RangeLife, AKilledServiceNeverLowersASerialAndLeavesOldOrNew) {
    enable_with_old_map();
    const char* given = std::getenv("KUDO_SERVICE_KILLS");
    const auto kills = static_cast<unsigned>(given ? std::strtoul(given, nullptr, 0) : 40);
    std::mt19937_64 random{std::random_device{}()};
    uint64_t highest = 2022050001, next = 2022050002;
    for (unsigned i = 0; i < kills && !HasFailure(); i++) {
        RunningService service(*test_, service_arguments());
        drop("push.json", map_text(next, long_ago, quoted_text(i % 2 ? old_range : new_range)));
        // Files settle for 2 s; the reading at the start does not wait for that.
        service.signal(SIGHUP);
        std::this_thread::sleep_for(std::chrono::milliseconds(std::uniform_int_distribution<>(0, 400)(random)));
        service.signal(SIGKILL);
        EXPECT_EQ(service.wait(), 128 + SIGKILL);
        const auto history = nlohmann::json::parse(test_->agent({"ranges", "history", "--json"}).out);
        const uint64_t now = history.at("highest_serial");
        EXPECT_GE(now, highest);
        EXPECT_LE(now, next);
        highest = now;
        if (now == next) next++;
        const Outcome healed = test_->agent({"enable", "--region", "ca"});
        ASSERT_EQ(healed.status, 0) << healed.err;
        EXPECT_EQ(serial(), highest) << "what was accepted is in the kernel after the next command";
    }
    std::cout << kills << " kills, " << highest - 2022050001 << " maps accepted\n";
}

} // namespace
} // namespace kudo::test
