// SPDX-License-Identifier: MIT
// What the service logs of what it finds: each trouble once when it appears and once when it has ended.
// Invariant: each test names one behaviour.
#include <gtest/gtest.h>

#include <sstream>

#include <spdlog/sinks/ostream_sink.h>
#include <spdlog/spdlog.h>

#include "agent/service/alarms.h"
#include "agent/service/export_problems.h"

namespace kudo {
namespace {

class ServiceLog : public testing::Test {
protected:
    ServiceLog() {
        auto logger = std::make_shared<spdlog::logger>("test", std::make_shared<spdlog::sinks::ostream_sink_mt>(text_));
        logger->set_pattern("%l %v");
        logger->set_level(spdlog::level::info);
        spdlog::set_default_logger(logger);
    }
    ~ServiceLog() override { spdlog::set_default_logger(before_); }
    // What was logged since it was asked last.
    std::string logged() {
        std::string text = text_.str();
        text_.str("");
        return text;
    }

    std::shared_ptr<spdlog::logger> before_ = spdlog::default_logger();
    std::ostringstream text_;
    ServiceAlarms alarms_{Instance{}, std::chrono::seconds(1)};
};

// Two looks one right after the other are no time in which it lasted.
TEST_F(ServiceLog, HasAProblemOfAnExportOnceAndAnAlarmOnceItHasLasted) {
    ExportProblems problems(std::chrono::seconds(15));
    const auto begin = std::chrono::steady_clock::time_point(std::chrono::hours(1));
    const auto found = [&](const std::set<std::string>& now, int second) {
        return problems.found(now, begin + std::chrono::seconds(second));
    };
    EXPECT_TRUE(found({"timed out after 3001 ms"}, 0).empty());
    EXPECT_TRUE(found({"timed out after 3002 ms"}, 0).empty());
    EXPECT_TRUE(found({"timed out after 3003 ms"}, 14).empty());
    EXPECT_EQ(found({"timed out after 3004 ms"}, 15), std::vector<std::string>{"timed out after 3001 ms"});
    EXPECT_EQ(found({"timed out after 3005 ms", "another"}, 30), std::vector<std::string>{"timed out after 3001 ms"});
    EXPECT_EQ(logged(), "warning timed out after 3001 ms\nwarning another\n");
    EXPECT_TRUE(found({}, 31).empty());
    EXPECT_TRUE(found({"timed out after 3001 ms"}, 60).empty());
    EXPECT_EQ(logged(), "info no longer: another\ninfo no longer: timed out after 3001 ms\n"
                        "warning timed out after 3001 ms\n");
}

TEST_F(ServiceLog, HasEachTroubleOnceAndItsEndOnce) {
    alarms_.found({"eth0: down", "eth1: down"}, true);
    EXPECT_EQ(logged(), "warning eth0: down\nwarning eth1: down\n");
    alarms_.found({"eth0: down", "eth1: down"}, true);
    EXPECT_EQ(logged(), "");
    alarms_.found({"eth1: down"}, true);
    EXPECT_EQ(logged(), "info no longer: eth0: down\n");
    alarms_.found({"eth0: down", "eth1: down"}, true);
    EXPECT_EQ(logged(), "warning eth0: down\n") << "again, although not all was well in between";
    alarms_.found({}, true);
    EXPECT_EQ(logged(), "info no longer: eth0: down\ninfo no longer: eth1: down\n");
}

TEST_F(ServiceLog, TakesNothingForEndedThatWasNotLookedAt) {
    alarms_.found({"eth0: down"}, true);
    logged();
    alarms_.found({"the state cannot be read"}, false);
    EXPECT_EQ(logged(), "warning the state cannot be read\n");
    alarms_.found({"eth0: down"}, true);
    EXPECT_EQ(logged(), "info no longer: the state cannot be read\n");
}

TEST_F(ServiceLog, TakesAnotherNumberForTheSameTrouble) {
    alarms_.found({"eth0: 20 packets went out unseen"}, true);
    logged();
    alarms_.found({"eth0: 3456 packets went out unseen"}, true);
    EXPECT_EQ(logged(), "");
    alarms_.found({"eth1: 3456 packets went out unseen"}, true);
    EXPECT_NE(logged().find("warning eth1: 3456"), std::string::npos) << "another interface";
}

TEST(Numberless, LeavesWhatIsPartOfAName) {
    EXPECT_EQ(numberless("12 of 7 on eth0, 10.0.0.1 #4"), "# of # on eth0, 10.0.0.1 #4");
    EXPECT_EQ(numberless(""), "");
    EXPECT_EQ(numberless("1  2 "), "#  # ");
}

} // namespace
} // namespace kudo
