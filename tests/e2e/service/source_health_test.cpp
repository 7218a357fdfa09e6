// SPDX-License-Identifier: MIT
// When a source's problem becomes an alarm that `status` shows.
// Invariant: what heals by itself never does.
#include <gtest/gtest.h>

#include <filesystem>

#include "tests/support/host_test.h"
#include "tests/support/running_service.h"

namespace kudo::test {
namespace {

using namespace std::chrono_literals;

class SourceHealth : public HostTest {
protected:
    void SetUp() override {
        HostTest::SetUp();
        if (test_) folder_ = test_->folder + "/maps";
    }
    [[nodiscard]] std::vector<std::string> arguments() const {
        return {"--drop-folder", folder_, "--reconcile-every", "1s", "--reread-every", "10s"};
    }
    [[nodiscard]] bool has_alarm() const { return !test_->status().at("alarms").empty(); }
    std::string folder_;
};

TEST_F(SourceHealth, AProblemThatOneRereadingHasNotHealedIsAnAlarm) {
    RunningService service(*test_, arguments());
    EXPECT_TRUE(eventually([&] { return service.log().find(folder_) != std::string::npos; }, 5s)) << service.log();
    EXPECT_FALSE(has_alarm()) << "it is logged at once, but no alarm yet";
    EXPECT_TRUE(eventually([&] { return has_alarm(); }, 18s)) << service.log();
    EXPECT_NE(test_->status().at("alarms").dump().find(folder_), std::string::npos);
}

TEST_F(SourceHealth, ABlipIsNone) {
    RunningService service(*test_, arguments());
    EXPECT_TRUE(eventually([&] { return service.log().find(folder_) != std::string::npos; }, 5s)) << service.log();
    std::filesystem::create_directory(folder_);
    std::this_thread::sleep_for(14s);
    EXPECT_FALSE(has_alarm()) << test_->status().at("alarms");
}

TEST_F(SourceHealth, AnAlarmEndsOnceItsCauseIsGone) {
    std::filesystem::create_directory(folder_);
    const std::string bad = test_->write_file("maps/bad.json", "{}");
    RunningService service(*test_, {"--drop-folder", folder_, "--reconcile-every", "1s", "--reread-every", "1s"});
    EXPECT_TRUE(eventually([&] { return has_alarm(); }, 10s)) << service.log();
    std::this_thread::sleep_for(6s);
    EXPECT_TRUE(has_alarm()) << "what is still wrong is found again";
    std::filesystem::remove(bad);
    EXPECT_TRUE(eventually([&] { return !has_alarm(); }, 10s)) << test_->status().at("alarms");
}

} // namespace
} // namespace kudo::test
