// SPDX-License-Identifier: MIT
// Dumps that something interrupts are asked for again.
// Invariant: each test names one behaviour; no kernel.
#include <gtest/gtest.h>

#include "agent/netlink/netlink.h"

namespace kudo {
namespace {

// Interrupted so many times before it comes whole.
struct Dump {
    int interruptions;
    int number = EINTR;
    int asked = 0;
    Result<int> operator()() {
        asked++;
        if (asked <= interruptions) return fail("netlink", number);
        return 42;
    }
};

TEST(UntilWhole, AWholeDumpIsAskedForOnce) {
    Dump dump{.interruptions = 0};
    EXPECT_EQ(retry_dump(std::ref(dump)).value(), 42);
    EXPECT_EQ(dump.asked, 1);
}

TEST(UntilWhole, AnInterruptedDumpIsAskedForAgain) {
    Dump dump{.interruptions = 3};
    EXPECT_EQ(retry_dump(std::ref(dump)).value(), 42);
    EXPECT_EQ(dump.asked, 4);
}

TEST(UntilWhole, GivesUpWhereEveryDumpIsInterrupted) {
    Dump dump{.interruptions = 1'000'000};
    const auto result = retry_dump(std::ref(dump));
    ASSERT_FALSE(result);
    EXPECT_EQ(result.error().number, EINTR);
    EXPECT_LE(dump.asked, 100);
}

TEST(UntilWhole, AnotherErrorIsNotAskedAboutAgain) {
    Dump dump{.interruptions = 1, .number = EPERM};
    EXPECT_FALSE(retry_dump(std::ref(dump)));
    EXPECT_EQ(dump.asked, 1);
}

} // namespace
} // namespace kudo
