// SPDX-License-Identifier: MIT
// The whole way: an operator publishes a signed map, the service of a host takes it in over a real message server, the
// kernel judges by it, and the operator sees that.
#include <gtest/gtest.h>

#include <fstream>
#include <iostream>

#include <fmt/format.h>

#include "tests/e2e/fleet/fixture.h"
#include "tests/support/running_service.h"

namespace kudo::test {
namespace {

using namespace std::chrono_literals;

class FleetService : public FleetHostTest {};

TEST_F(FleetService, WhatIsPublishedIsInTheKernelAndReportedAndPromoted) {
    ASSERT_NO_FATAL_FAILURE(publish_map(2022050001, "3.123.12.128/28"));
    RunningService service(*test_, service_arguments());
    ASSERT_TRUE(comes_to(2022050001)) << service.log();
    nlohmann::json status;
    const auto is_reported = [&] {
        status = nlohmann::json::parse(fleet({"status", "--json", "--hosts"}).out);
        const std::string text = status.dump();
        return text.find("web-1") != std::string::npos && text.find("2022050001") != std::string::npos &&
               status.at("healthy") == true;
    };
    EXPECT_TRUE(eventually(is_reported)) << status.dump(1) << service.log();
    const Outcome promoted = fleet({"promote", "--from", "canary", "--to", "stable"});
    EXPECT_EQ(promoted.status, 0) << promoted.err;
    // The next one is pushed: nobody asks the host.
    const auto start = std::chrono::steady_clock::now();
    ASSERT_NO_FATAL_FAILURE(publish_map(2022050002, "3.7.161.0/26"));
    ASSERT_TRUE(comes_to(2022050002)) << service.log();
    std::cout << "from publish to the kernel: "
              << std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count() << " s\n";
}

TEST_F(FleetService, AnAlarmOnOneHostKeepsAMapFromBeingPromoted) {
    ASSERT_NO_FATAL_FAILURE(publish_map(2022050001, "3.123.12.128/28"));
    const std::string folder = test_->folder + "/drop";
    std::filesystem::create_directory(folder);
    auto arguments = service_arguments();
    arguments.insert(arguments.end(), {"--drop-folder", folder});
    RunningService service(*test_, arguments);
    ASSERT_TRUE(comes_to(2022050001)) << service.log();
    const MinisignKey stranger(test_->folder + "/strangers", "stranger");
    const std::string bad = test_->write_file("bad.json", fleet_map_text(2022050009, "3.9.0.0/24"));
    stranger.sign(bad);
    std::filesystem::copy(bad + ".minisig", folder + "/bad.json.minisig");
    std::filesystem::copy(bad, folder + "/bad.json");
    ASSERT_TRUE(eventually([&] { return !test_->status().at("alarms").empty(); }, 20s)) << service.log();
    EXPECT_TRUE(eventually([&] { return fleet({"promote", "--from", "canary", "--to", "stable"}).status == 4; }, 20s));
}

TEST_F(FleetService, AKeySetTravelsTheSameWayAndTheOldKeyAloneCountsNoMore) {
    ASSERT_NO_FATAL_FAILURE(publish_map(2022050001, "3.123.12.128/28"));
    RunningService service(*test_, service_arguments());
    ASSERT_TRUE(comes_to(2022050001)) << service.log();
    const MinisignKey next(test_->folder + "/next", "next");
    std::string line;
    std::ifstream public_key(next.public_file);
    std::getline(public_key, line);
    std::getline(public_key, line);
    const std::string keys = test_->write_file(
        "keys.json",
        fmt::format(R"({{"format": "kudo-key-set/1", "serial": 1, "threshold": 1, "keys": ["{}"]}})", line));
    key_->sign(keys, keys + ".old");
    next.sign(keys, keys + ".new");
    std::ofstream both(keys + ".minisig");
    both << std::ifstream(keys + ".old").rdbuf() << std::ifstream(keys + ".new").rdbuf();
    both.close();
    const Outcome published = fleet({"publish", keys, "--ring", "canary"});
    ASSERT_EQ(published.status, 0) << published.err;
    const auto followed = [&] {
        return test_->agent({"ranges", "history", "--json"}).out.find("key set") != std::string::npos;
    };
    ASSERT_TRUE(eventually(followed, 20s)) << service.log();
    // The map in the ring has the old key's signature alone, and is in effect: that is no alarm, and nothing is stuck.
    std::this_thread::sleep_for(5s); // two re-readings
    EXPECT_TRUE(test_->status().at("alarms").empty()) << test_->status().at("alarms") << service.log();
    const Outcome promoted = fleet({"promote", "--key-set", "--from", "canary", "--to", "stable"});
    EXPECT_EQ(promoted.status, 0) << promoted.err;
    const std::string old_key = signed_file("old.json", fleet_map_text(2022050002, "3.123.12.128/28"));
    EXPECT_EQ(test_->agent({"ranges", "apply", old_key, "--keys", keys_, "--fleet", "acme"}).status, 2);
    const std::string new_key = test_->write_file("new.json", fleet_map_text(2022050002, "3.123.12.128/28"));
    next.sign(new_key);
    const Outcome applied = test_->agent({"ranges", "apply", new_key, "--keys", keys_, "--fleet", "acme"});
    EXPECT_EQ(applied.status, 0) << applied.err;
}

} // namespace
} // namespace kudo::test
