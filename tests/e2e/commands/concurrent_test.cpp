// SPDX-License-Identifier: MIT
// Commands at the same time: they wait for each other, and what they leave is what one of them wanted.
// R1 (agent/reconcile/reconcile.h): one data path, one link per hook, and no command fails because another was running.
#include <gtest/gtest.h>

#include <signal.h>
#include <sys/wait.h>

#include <algorithm>
#include <thread>

#include "maps/document/built_in.h"
#include "maps/document/range_map.h"
#include "maps/document/write_range_map.h"
#include "tests/support/host_test.h"
#include "tests/support/locks.h"

namespace kudo::test {
namespace {

using std::chrono::seconds;
using std::chrono::steady_clock;

// By XDP, whose link shows in `ip link`.
std::vector<std::string> enable_in(const char* region) {
    return {"enable", "--region", region, "--ingress", "xdp"};
}

class ConcurrentCommands : public HostTest {
protected:
    // All of them started before the first is waited for.
    std::vector<Outcome> at_once(const std::vector<std::vector<std::string>>& commands) const {
        std::vector<Outcome> outcomes(commands.size());
        std::vector<std::jthread> threads;
        for (std::size_t i = 0; i < commands.size(); i++)
            threads.emplace_back([&, i] { outcomes[i] = test_->agent(commands[i]); });
        threads.clear();
        return outcomes;
    }

    [[nodiscard]] std::vector<std::string> names_in(const std::string& folder) const {
        std::vector<std::string> names;
        for (const auto& entry : std::filesystem::directory_iterator(test_->instance.layout() / folder))
            names.push_back(entry.path().filename());
        std::sort(names.begin(), names.end());
        return names;
    }

    void expect_one_data_path() const {
        const Outcome status = test_->agent({"status"});
        EXPECT_EQ(status.status, 0) << status.out << status.err;
        const auto links = names_in("links");
        ASSERT_EQ(links.size(), kernel_has_tcx() ? 2u : 1u) << testing::PrintToString(links);
        if (kernel_has_tcx()) {
            EXPECT_TRUE(links.front().ends_with("_tcx_egress")) << links.front();
        }
        EXPECT_TRUE(links.back().ends_with("_xdp_native")) << links.back();
        const std::string link = test_->in_host({"ip", "-d", "link", "show", "eth0"});
        EXPECT_NE(link.find("name kudo_xdp "), std::string::npos) << link;
        const std::string filters = test_->in_host({"tc", "filter", "show", "dev", "eth0", "egress"});
        const auto first = filters.find("kudo_");
        EXPECT_EQ(first == std::string::npos, kernel_has_tcx()) << filters;
        EXPECT_EQ(filters.find(" direct-action", filters.find(" direct-action") + 1), std::string::npos) << filters;
        EXPECT_EQ(std::distance(std::filesystem::directory_iterator(test_->instance.pins()), {}), 1);
    }

    void expect_nothing_left() const {
        EXPECT_EQ(test_->agent({"status"}).status, 3);
        EXPECT_FALSE(std::filesystem::exists(test_->instance.pins()));
        EXPECT_EQ(test_->in_host({"ip", "-d", "link", "show"}).find("kudo_"), std::string::npos);
    }
};

TEST_F(ConcurrentCommands, TwoEnablesOnAFreshHostBothSucceedAndMakeOneDataPath) {
    for (int round = 0; round < 10 && !HasFailure(); round++) {
        const auto outcomes = at_once({enable_in("ca"), enable_in("ca")});
        for (const Outcome& outcome : outcomes)
            EXPECT_EQ(outcome.status, 0) << outcome.err;
        const auto idle = std::count_if(outcomes.begin(), outcomes.end(), [](const Outcome& outcome) {
            return outcome.out.find("nothing changed") != std::string::npos;
        });
        EXPECT_EQ(idle, 1) << "one makes it, the other finds it made";
        expect_one_data_path();
        EXPECT_EQ(test_->status().at("generation"), 1);
        ASSERT_EQ(test_->agent({"disable"}).status, 0);
        expect_nothing_left();
    }
}

TEST_F(ConcurrentCommands, ManyEnablesWithDifferentRegionsLeaveOneOfThem) {
    ASSERT_EQ(test_->agent(enable_in("ca")).status, 0);
    for (int round = 0; round < 20 && !HasFailure(); round++) {
        for (const Outcome& outcome :
             at_once({enable_in("ca"), enable_in("us"), enable_in("eu"), {"status"}, {"stats"}})) {
            EXPECT_TRUE(outcome.status == 0 || outcome.status == 4)
                << outcome.status << outcome.err; // 4: status, in between
            EXPECT_EQ(outcome.err, "");
        }
        expect_one_data_path();
        EXPECT_EQ(test_->status().at("regions").size(), 1u);
    }
}

TEST_F(ConcurrentCommands, EnableAgainstDisableAgainstApplyAlwaysEndsConsistent) {
    for (int round = 0; round < 15 && !HasFailure(); round++) {
        const std::string map = test_->write_file(
            "map.json", with_serial(to_json(built_in_range_map()), 2022050001 + static_cast<uint64_t>(round)));
        const auto outcomes =
            at_once({enable_in("ca"), {"disable"}, TestHost::apply_arguments(map), {"status", "--json"}});
        for (std::size_t i = 0; i < 3; i++)
            EXPECT_EQ(outcomes[i].status, 0) << i << ": " << outcomes[i].err;
        EXPECT_TRUE(outcomes[3].status == 0 || outcomes[3].status == 3 || outcomes[3].status == 4) << outcomes[3].err;
        if (test_->status().at("enabled") == true)
            expect_one_data_path();
        else
            expect_nothing_left();
    }
    ASSERT_EQ(test_->agent({"disable"}).status, 0);
    expect_nothing_left();
}

TEST_F(ConcurrentCommands, ACommandThatWaitsForAStoppedOneGivesUpAfterTenSecondsAndNamesIt) {
    // Stopped while it holds the lock, which it may just have let go of: then once more.
    int holder = -1;
    for (int attempt = 0; attempt < 20 && holder < 0; attempt++) {
        ASSERT_EQ(test_->agent({"disable"}).status, 0);
        const int child = inside<int>(test_->host, [&] { return start_program(test_->agent_argv(enable_in("ca"))); });
        const auto deadline = steady_clock::now() + seconds(10);
        while (!holds_a_lock(child) && steady_clock::now() < deadline) {
        }
        kill(child, SIGSTOP);
        int status = 0;
        ASSERT_EQ(waitpid(child, &status, WUNTRACED), child);
        if (WIFSTOPPED(status)) holder = child;
    }
    ASSERT_GT(holder, 0) << "enable was never caught with the lock";

    const auto start = steady_clock::now();
    const Outcome outcome = test_->agent({"disable"});
    const std::chrono::duration<double> waited = steady_clock::now() - start;
    const Outcome status = test_->agent({"status", "--json"});
    kill(holder, SIGCONT);
    int ended = 0;
    ASSERT_EQ(waitpid(holder, &ended, 0), holder);

    EXPECT_EQ(outcome.status, 1) << outcome.out << outcome.err;
    EXPECT_EQ(outcome.out, "");
    EXPECT_NE(outcome.err.find("(process " + std::to_string(holder) + ")"), std::string::npos) << outcome.err;
    EXPECT_EQ(std::count(outcome.err.begin(), outcome.err.end(), '\n'), 1) << outcome.err;
    EXPECT_GE(waited.count(), 9.5);
    EXPECT_LT(waited.count(), 20);
    EXPECT_TRUE(status.status == 0 || status.status == 3 || status.status == 4)
        << "status needs no lock: " << status.err;
    EXPECT_TRUE(WIFEXITED(ended) && WEXITSTATUS(ended) == 0) << "the stopped command goes on as if nothing had been";
    expect_one_data_path();
}

} // namespace
} // namespace kudo::test
