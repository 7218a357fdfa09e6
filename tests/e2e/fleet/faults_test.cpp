// SPDX-License-Identifier: MIT
// What befalls a message server, its store, its network and our credentials, seen from the kernel: after each fault the
// agent comes by itself to the map that was published last, judges by it, and says so; it never judges by anything
// else. component/nats_faults_test.cpp has the same for the source alone.
#include <gtest/gtest.h>
#include <signal.h>

#include <algorithm>
#include <filesystem>
#include <thread>

#include <fmt/format.h>

#include "tests/e2e/fleet/fixture.h"
#include "tests/support/nats_agent.h"
#include "tests/support/nats_faults.h"
#include "tests/support/patience.h"
#include "tests/support/running_service.h"

namespace kudo::test {
namespace {

using namespace std::chrono_literals;

class FleetFault : public FleetHostTest {
protected:
    struct Published {
        uint64_t serial;
        std::string range, address; // the address is in this range, and in no other map's
    };

    void SetUp() override {
        FleetHostTest::SetUp();
        if (!server_) return;
        seen_ = serial(); // of the built-in map
        operator_ = quick_nats_options(server_->url());
        operator_.answer_wait = operator_.connect_wait = 5s;
    }
    void TearDown() override { healed_.print(); }

    // Another way to the server than the operator's.
    [[nodiscard]] std::string service_url() const { return "nats://127.0.0.2:" + server_->port(); }
    // With short waits.
    void start_service() {
        std::vector<std::string> arguments = service_arguments("1s");
        *std::ranges::find(arguments, server_->url()) = service_url();
        arguments.insert(arguments.end(), {"--grace", "0"});
        arguments.insert(arguments.end(), {"--nats-timeout", "500ms", "--nats-health-check", "300ms"});
        arguments.insert(arguments.end(), {"--nats-doorbell-spread", "0"});
        if (!host_credentials_.empty()) arguments.insert(arguments.end(), {"--nats-credentials", host_credentials_});
        service_.emplace(*test_, arguments);
    }
    void begin() {
        ASSERT_NO_FATAL_FAILURE(publish());
        start_service();
        ASSERT_NO_FATAL_FAILURE(expect_judged_and_reported());
    }
    // A new map for the ring.
    void publish() {
        const std::size_t number = published_.size();
        const std::string net = fmt::format("3.200.{}", number);
        published_.push_back({2022050001 + number, net + ".128/28", net + ".130"});
        ASSERT_NO_FATAL_FAILURE(publish_map(published_.back().serial, published_.back().range));
    }

    // The kernel's map, which is one that was published, and never one from before what was seen last.
    nlohmann::json look() {
        EXPECT_TRUE(service_->is_running()) << service_->log();
        service_->notifications(); // as systemd reads them: the socket has room for ten
        nlohmann::json status = test_->status();
        // It waits a second for a change that is being made, which is too short for a slow machine.
        const auto end = std::chrono::steady_clock::now() + patient(1s) - 1s;
        while (status.at("healthy") != true && std::chrono::steady_clock::now() < end)
            status = test_->status();
        const uint64_t now = status.at("map").at("serial");
        if (now != seen_) {
            EXPECT_GT(now, seen_) << "the serial went down";
            EXPECT_NE(std::ranges::find(published_, now, &Published::serial), published_.end())
                << now << " was not published";
            seen_ = now;
        }
        EXPECT_EQ(status.at("healthy"), true) << status.dump(1); // also while a map is swapped in
        return status;
    }
    void watch(std::chrono::milliseconds time) {
        const auto end = std::chrono::steady_clock::now() + time;
        for (; std::chrono::steady_clock::now() < end; std::this_thread::sleep_for(100ms))
            look();
    }
    // The kernel's tables are those of this map, and by them its address is media and the one before's is not.
    void expect_judged(const Published& map) {
        const nlohmann::json status = look();
        ASSERT_EQ(status.at("map").at("serial"), map.serial);
        // That the server was away for long is one; that something was refused would be another.
        for (const auto& alarm : status.at("alarms"))
            EXPECT_TRUE(alarm.get<std::string>().starts_with(service_url() + " fleet acme, ring canary: ")) << alarm;
        EXPECT_EQ(media_range_of(map.address), map.range);
        if (published_.size() > 1) {
            EXPECT_EQ(media_range_of(published_[published_.size() - 2].address), "");
        }
    }
    // By which range it is media; empty: by none.
    [[nodiscard]] std::string media_range_of(const std::string& address) const {
        const Outcome outcome = test_->agent({"explain", address, "udp/3478", "--json"});
        EXPECT_EQ(outcome.status, 0) << outcome.err;
        const auto explanation = nlohmann::json::parse(outcome.out);
        for (const auto& rule : explanation.at("rules"))
            if (rule.at("class") == "media") return rule.at("range");
        return "";
    }
    // The operator sees this host with exactly what its kernel has.
    [[nodiscard]] bool is_reported(const nlohmann::json& status) const {
        const Outcome outcome = fleet({"status", "--json", "--hosts"});
        if (outcome.out.empty()) return false;
        const nlohmann::json seen = nlohmann::json::parse(outcome.out);
        for (const auto& ring : seen.at("rings"))
            for (const auto& host : ring.at("members"))
                if (ring.at("ring") == "canary" && host.at("host") == "web-1" &&
                    host.at("serial") == status.at("map").at("serial") &&
                    host.at("content_hash") == status.at("content_hash") && host.at("health") == "healthy")
                    return true;
        return false;
    }
    void expect_judged_and_reported() {
        const Published map = published_.back();
        ASSERT_TRUE(eventually([&] { return look().at("map").at("serial") == map.serial; }, fault_limit))
            << "the kernel has " << seen_ << ", not " << map.serial << "\n"
            << service_->log();
        last_change_ = std::chrono::steady_clock::now();
        ASSERT_NO_FATAL_FAILURE(expect_judged(map));
        ASSERT_TRUE(eventually([&] { return is_reported(look()); }, fault_limit))
            << fleet({"status", "--json", "--hosts"}).out << fleet({"status"}).err << service_->log();
    }
    // From now on all must become right by itself.
    void fault_is_over() { fault_end_ = std::chrono::steady_clock::now(); }
    void expect_healed() {
        ASSERT_NO_FATAL_FAILURE(expect_judged_and_reported());
        EXPECT_LT(std::chrono::steady_clock::now() - fault_end_, patient(fault_limit));
        healed_.add(last_change_ - fault_end_);
    }
    void expect_still(uint64_t serial) { EXPECT_EQ(look().at("map").at("serial"), serial); }

    NatsOptions operator_;
    std::string host_credentials_; // a file; empty: none is needed
    std::optional<RunningService> service_;
    std::vector<Published> published_;
    uint64_t seen_ = 0;
    std::chrono::steady_clock::time_point fault_end_, last_change_;
    HealingTimes healed_;
};

TEST_F(FleetFault, AServerThatIsKilledAndRestarted) {
    ASSERT_NO_FATAL_FAILURE(begin());
    for (int round = 0; round < fault_rounds(); ++round) {
        server_->end(SIGKILL);
        watch(1s);
        server_->start();
        fault_is_over();
        ASSERT_NO_FATAL_FAILURE(publish());
        ASSERT_NO_FATAL_FAILURE(expect_healed()) << round;
    }
}

TEST_F(FleetFault, AServerThatIsStopped) {
    ASSERT_NO_FATAL_FAILURE(begin());
    for (int round = 0; round < fault_rounds(); ++round) {
        server_->send(SIGSTOP);
        watch(fault_silence());
        server_->send(SIGCONT);
        fault_is_over();
        ASSERT_NO_FATAL_FAILURE(publish());
        ASSERT_NO_FATAL_FAILURE(expect_healed()) << round;
    }
}

TEST_F(FleetFault, AConnectionThatIsBlackholed) {
    ASSERT_NO_FATAL_FAILURE(begin());
    for (int round = 0; round < fault_rounds(); ++round) {
        const uint64_t before = published_.back().serial;
        network_->swallow("127.0.0.2");
        ASSERT_NO_FATAL_FAILURE(publish()); // on the other way: nothing rings
        watch(fault_silence());
        expect_still(before);
        network_->swallow_nothing();
        fault_is_over();
        ASSERT_NO_FATAL_FAILURE(expect_healed()) << round;
    }
}

TEST_F(FleetFault, ABucketThatIsDeletedAndMadeAnew) {
    ASSERT_NO_FATAL_FAILURE(begin());
    for (int round = 0; round < fault_rounds(); ++round) {
        delete_buckets(operator_);
        if (round % 2 == 0) watch(1500ms); // noticed, or not
        fault_is_over();
        ASSERT_NO_FATAL_FAILURE(publish()); // makes them
        ASSERT_NO_FATAL_FAILURE(expect_healed()) << round;
    }
}

TEST_F(FleetFault, AStoreThatIsRolledBack) {
    ASSERT_NO_FATAL_FAILURE(begin());
    for (int round = 0; round < fault_rounds(); ++round) {
        server_->end(SIGTERM);
        server_->save_store();
        server_->start();
        ASSERT_NO_FATAL_FAILURE(publish());
        ASSERT_NO_FATAL_FAILURE(expect_judged_and_reported());
        const uint64_t before = published_.back().serial;
        server_->end(SIGKILL);
        server_->restore_store();
        server_->start();
        // Before and after the older map was read again; the new one has a revision that was seen with other content.
        if (round % 2 == 0) watch(2500ms);
        expect_still(before);
        fault_is_over();
        ASSERT_NO_FATAL_FAILURE(publish());
        ASSERT_NO_FATAL_FAILURE(expect_healed()) << round;
    }
}

TEST_F(FleetFault, CredentialsThatAreRefusedAndThenRestored) {
    const FaultyAccess access(*server_);
    operator_credentials_ = access.operator_credentials();
    host_credentials_ = test_->folder + "/credentials"; // where its files are the service's
    std::filesystem::copy(access.host_credentials(), host_credentials_);
    access.admit_hosts();
    std::this_thread::sleep_for(500ms);
    ASSERT_NO_FATAL_FAILURE(begin());
    for (int round = 0; round < fault_rounds(); ++round) {
        const uint64_t before = published_.back().serial;
        access.refuse_hosts();
        watch(1s); // refused again and again
        ASSERT_NO_FATAL_FAILURE(publish());
        watch(1s);
        expect_still(before);
        access.admit_hosts();
        fault_is_over();
        ASSERT_NO_FATAL_FAILURE(expect_healed()) << round;
    }
}

TEST_F(FleetFault, AServerThatIsAbsentAtTheStart) {
    ASSERT_NO_FATAL_FAILURE(publish());
    for (int round = 0; round < fault_rounds(); ++round) {
        const uint64_t before = serial();
        service_.reset();
        server_->end(SIGKILL);
        start_service();
        watch(1s);
        expect_still(before);
        server_->start();
        fault_is_over();
        ASSERT_NO_FATAL_FAILURE(publish());
        ASSERT_NO_FATAL_FAILURE(expect_healed()) << round;
    }
}

} // namespace
} // namespace kudo::test
