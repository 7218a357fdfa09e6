// SPDX-License-Identifier: MIT
// A disk or a kernel that refuses any single call with which `enable --mode enforce` works.
// Invariant: whatever fails, and wherever: enforced without a confirmation is only what ends by itself.
// KUDO_LOCKOUT=100 tries every call, else it is every so-manieth.
#include <fstream>
#include <tuple>

#include <fmt/format.h>

#include "tests/e2e/enforce/enforce_fixture.h"

namespace kudo::test {
namespace {

using std::chrono::steady_clock;
using namespace std::chrono_literals;

class EnforceFaults : public EnforceTest {
protected:
    // `enable --mode enforce`, its `at`th call failing; with `and_later` all from then on.
    Outcome enforce_failing(int at, bool and_later, const std::vector<std::string>& more) const {
        std::vector<std::string> argv = {"env",
                                         "-u",
                                         "SSH_CONNECTION",
                                         std::string("LD_PRELOAD=") + KUDO_FAILING_CALLS,
                                         "KUDO_FAIL_BPF=1",
                                         "KUDO_FAIL_BELOW=" + test_->instance.state_dir.string(),
                                         "KUDO_FAIL_COUNT=" + test_->folder + "/count",
                                         fmt::format("KUDO_FAIL_AT={}", at),
                                         fmt::format("KUDO_FAIL_WITH={}", at % 2 ? ENOSPC : EIO)};
        if (and_later) argv.emplace_back("KUDO_FAIL_ALL=1");
        std::vector<std::string> words{"enable", "--region", "ca", "--mode", "enforce"};
        words.insert(words.end(), more.begin(), more.end());
        for (const std::string& word : test_->agent_argv(words))
            argv.push_back(word);
        return inside<Outcome>(test_->host, [&] { return run_program(argv); });
    }
    [[nodiscard]] int calls() const {
        int count = -1;
        std::ifstream(test_->folder + "/count") >> count;
        return count;
    }
    // Every call, or one in so many of them.
    [[nodiscard]] static int stride(int all) {
        const char* const tries = std::getenv("KUDO_LOCKOUT");
        return tries && std::atoi(tries) >= 100 ? 1 : std::max(1, all / 4);
    }
};

// Where nothing was, and where a generation goes before; one call, and all from there on. A test each, since they take
// minutes with KUDO_LOCKOUT=100: several run side by side.
class EveryFault : public EnforceFaults, public testing::WithParamInterface<std::tuple<bool, bool>> {
protected:
    [[nodiscard]] static bool before() { return std::get<0>(GetParam()); }
    [[nodiscard]] static bool and_later() { return std::get<1>(GetParam()); }
    void reset() const {
        ASSERT_EQ(test_->agent({"disable"}).status, 0);
        if (before()) enable();
    }
};
INSTANTIATE_TEST_SUITE_P(Calls, EveryFault, testing::Combine(testing::Bool(), testing::Bool()), [](const auto& of) {
    return std::string(std::get<0>(of.param) ? "OverAGeneration" : "WhereNothingWas") +
           (std::get<1>(of.param) ? "OneAndAllLater" : "One");
});

TEST_P(EveryFault, LeavesTheDeadlineInEffect) {
    reset();
    ASSERT_NE(enforce_failing(0, false, {"--confirm-within", "1s"}).status, 1); // 4: it took longer than that
    const int all = calls();
    ASSERT_GE(all, 10);
    unsigned refused = 0, done = 0;
    for (int at = and_later() ? 2 : 1; at <= all; at += stride(all)) {
        reset();
        const Outcome outcome = enforce_failing(at, and_later(), {"--confirm-within", "1s"});
        const auto ends = steady_clock::now() + 1s;
        const std::string what = fmt::format("call {} of {}: {}{}", at, all, outcome.out, outcome.err);
        EXPECT_TRUE(outcome.status == 0 || outcome.status == 1 || outcome.status == 4) << outcome.status << what;
        (outcome.status == 1 ? refused : done)++;
        if (outcome.status == 1) EXPECT_TRUE(strangers_pass()) << "refused, and in effect: " << what;
        const auto dropped = blocked_until(ends + patient(20s));
        ASSERT_LE(dropped, ends + patient(1000ms)) << "locked out after " << what;
        EXPECT_EQ(enforce_failing(0, false, {"--no-confirm"}).status, 0) << "after " << what;
        EXPECT_EQ(test_->agent({"status"}).status, 0) << test_->agent({"status"}).out << "after " << what;
    }
    EXPECT_GT(refused, 0U) << "the calls do not fail";
    fmt::print("{} tries: {} refused, {} done or degraded\n", refused + done, refused, done);
}

// Without a deadline what is refused must not be in effect at all.
TEST_F(EnforceFaults, WhatIsRefusedIsNotInEffectAlsoWithoutADeadline) {
    enable();
    ASSERT_EQ(enforce_failing(0, false, {"--no-confirm"}).status, 0);
    const int all = calls();
    for (int at = 1; at <= all; at += stride(all)) {
        enable();
        const Outcome outcome = enforce_failing(at, true, {"--no-confirm"});
        const std::string what = fmt::format("call {} of {} and later: {}{}", at, all, outcome.out, outcome.err);
        if (outcome.status == 1) EXPECT_TRUE(strangers_pass()) << what;
        if (outcome.status == 0) EXPECT_FALSE(strangers_pass()) << what;
    }
}

} // namespace
} // namespace kudo::test
