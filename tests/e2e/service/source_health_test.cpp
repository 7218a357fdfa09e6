// SPDX-License-Identifier: MIT
// When a source's problem becomes an alarm that `status` shows.
// Invariant: what heals by itself never does.
#include <gtest/gtest.h>

#include <filesystem>
#include <optional>

#include "tests/support/host_test.h"
#include "tests/support/running_service.h"
#include "tests/support/test_clock.h"

namespace kudo::test {
namespace {

using namespace std::chrono_literals;

class SourceHealth : public HostTest {
protected:
    void SetUp() override {
        HostTest::SetUp();
        if (test_) folder_ = test_->folder + "/maps";
    }
    // The sources are read again every five minutes at most, by the service's clock.
    [[nodiscard]] std::vector<std::string> arguments() const {
        return {"--drop-folder", folder_, "--reconcile-every", "1s", "--reread-every", "5m"};
    }
    [[nodiscard]] std::vector<std::string> with_clock() {
        clock_.emplace(test_->folder).skip(0s);
        auto result = clock_->environment();
        result.emplace_back(RunningService::tells_of_its_rounds);
        return result;
    }
    [[nodiscard]] std::string alarms() const { return test_->status().at("alarms").dump(); }
    [[nodiscard]] bool has_alarm() const { return alarms() != "[]"; }
    std::string folder_;
    std::optional<TestClock> clock_;
};

TEST_F(SourceHealth, AProblemThatOneRereadingHasNotHealedIsAnAlarm) {
    RunningService service(*test_, arguments(), with_clock());
    EXPECT_TRUE(eventually([&] { return service.log().find(folder_) != std::string::npos; })) << service.log();
    EXPECT_FALSE(has_alarm()) << "it is logged at once, but no alarm yet";
    clock_->skip(3min);
    EXPECT_TRUE(service.has_looked(3));
    EXPECT_FALSE(has_alarm()) << alarms();
    clock_->skip(150s);
    EXPECT_TRUE(eventually([&] { return has_alarm(); })) << service.log();
    EXPECT_NE(alarms().find(folder_), std::string::npos);
}

TEST_F(SourceHealth, ABadFileIsLoggedOnceHoweverOftenItIsReadAgain) {
    std::filesystem::create_directory(folder_);
    (void)test_->write_file("maps/bad.json.minisig", "no signature");
    (void)test_->write_file("maps/bad.json", "{}");
    RunningService service(*test_, {"--drop-folder", folder_, "--reconcile-every", "1s", "--reread-every", "1s"},
                           {RunningService::tells_of_its_rounds});
    const auto refusals = [&] {
        const std::string log = service.log();
        std::size_t count = 0;
        for (auto at = log.find("refused: "); at != std::string::npos; at = log.find("refused: ", at + 1))
            count++;
        return count;
    };
    EXPECT_TRUE(eventually([&] { return refusals() == 1; })) << service.log();
    EXPECT_TRUE(service.has_looked(12));
    EXPECT_EQ(refusals(), 1U) << service.log();
    (void)test_->write_file("maps/bad.json", "{ }");
    EXPECT_TRUE(eventually([&] { return refusals() == 2; })) << "another content: " << service.log();
}

TEST_F(SourceHealth, ABlipIsNone) {
    RunningService service(*test_, arguments(), with_clock());
    EXPECT_TRUE(eventually([&] { return service.log().find(folder_) != std::string::npos; })) << service.log();
    std::filesystem::create_directory(folder_);
    EXPECT_TRUE(service.has_looked(8)); // a folder that is missing is looked for every 3 s
    clock_->skip(20min);
    EXPECT_TRUE(service.has_looked(3));
    EXPECT_FALSE(has_alarm()) << alarms();
}

TEST_F(SourceHealth, AnAlarmEndsOnceItsCauseIsGone) {
    std::filesystem::create_directory(folder_);
    const std::string bad = test_->write_file("maps/bad.json", "{}");
    RunningService service(*test_, arguments(), with_clock());
    ASSERT_TRUE(eventually([&] { return service.log().find("bad.json") != std::string::npos; })) << service.log();
    clock_->skip(6min);
    EXPECT_TRUE(eventually([&] { return has_alarm(); })) << service.log();
    // After ten minutes it would end.
    for (int i = 0; i < 3; i++) {
        clock_->skip(7min);
        EXPECT_TRUE(service.has_looked(3));
        EXPECT_TRUE(has_alarm()) << "what is still wrong is found again";
    }
    std::filesystem::remove(bad);
    EXPECT_TRUE(service.has_looked(3));
    EXPECT_TRUE(has_alarm()) << "it was there just now";
    clock_->skip(11min);
    EXPECT_TRUE(eventually([&] { return !has_alarm(); })) << alarms();
}

} // namespace
} // namespace kudo::test
