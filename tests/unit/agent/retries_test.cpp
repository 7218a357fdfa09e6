// SPDX-License-Identifier: MIT
#include <gtest/gtest.h>

#include "agent/reconcile/retries.h"

namespace kudo {
namespace {

using namespace std::chrono_literals;

const Error broken{ErrorKind::Failed, "eth0: broken", 0};
const Retries::Clock::time_point start{1h};

TEST(Retries, WaitTwiceAsLongAfterEachFailureUpToALimit) {
    Retries retries;
    EXPECT_FALSE(retries.not_yet("eth0 hooks", start));
    auto now = start;
    auto delay = Retries::first_delay;
    for (int i = 0; i < 12; i++) {
        retries.failed("eth0 hooks", broken, now);
        EXPECT_TRUE(retries.not_yet("eth0 hooks", now + delay - 1s)) << i;
        EXPECT_FALSE(retries.not_yet("eth0 hooks", now + delay)) << i;
        now += delay;
        delay = std::min(2 * delay, Retries::max_delay);
    }
    EXPECT_EQ(delay, Retries::max_delay);
}

TEST(Retries, KeepTheProblemOfWhatIsLeftAlone) {
    Retries retries;
    retries.failed("eth0 hooks", broken, start);
    EXPECT_EQ(retries.not_yet("eth0 hooks", start + 1s)->message, broken.message);
    EXPECT_FALSE(retries.not_yet("eth1 hooks", start + 1s)) << "another object";
}

TEST(Retries, BeginAgainOnceItHasWorked) {
    Retries retries;
    for (int i = 0; i < 5; i++)
        retries.failed("policy", broken, start);
    retries.worked("policy");
    retries.failed("policy", broken, start);
    EXPECT_FALSE(retries.not_yet("policy", start + Retries::first_delay));
}

TEST(Retries, AllAreTriedWhenSomethingChangesOutside) {
    Retries retries;
    retries.failed("policy", broken, start);
    retries.try_all();
    EXPECT_FALSE(retries.not_yet("policy", start));
}

TEST(Retries, MovesToTheFrontKeepTheirTimeWhateverChangesOutside) {
    Retries retries;
    const std::string front = "eth0" + std::string(Retries::front);
    retries.failed(front, broken, start);
    retries.try_all();
    EXPECT_TRUE(retries.not_yet(front, start + 1s));
}

TEST(Problem, NamesItsObjectOnce) {
    EXPECT_EQ((Problem{"eth0 egress", broken}).text(), "eth0: broken");
    EXPECT_EQ((Problem{"policy", Error{ErrorKind::Failed, "no memory", 0}}).text(), "policy: no memory");
    EXPECT_EQ((Problem{"", broken}).text(), "eth0: broken");
}

} // namespace
} // namespace kudo
