// SPDX-License-Identifier: MIT
// Durations and percentages as people write them.
#include <gtest/gtest.h>

#include "cli/arguments/duration.h"

namespace kudo {
namespace {

TEST(Duration, IsANumberAndAUnit) {
    using namespace std::chrono_literals;
    EXPECT_EQ(parse_duration("--x", "90s").value(), 90s);
    EXPECT_EQ(parse_duration("--x", "15m").value(), 15min);
    EXPECT_EQ(parse_duration("--x", "2h").value(), 2h);
    EXPECT_EQ(parse_duration("--x", "1d").value(), 24h);
    EXPECT_EQ(parse_duration("--x", "3650d").value(), 24h * 3650);
}

TEST(Duration, OfAnyOtherKindIsRefused) {
    for (const char* text :
         {"", "15", "m", "-1s", "1.5h", " 1s", "1s ", "1ss", "1w", "3651d", "99999999999999999999s"}) {
        const auto duration = parse_duration("--silent-after", text);
        ASSERT_FALSE(duration) << text;
        EXPECT_TRUE(duration.error().message.starts_with("--silent-after: ")) << duration.error().message;
    }
}

TEST(Duration, OfAWaitMayBeInMilliseconds) {
    using namespace std::chrono_literals;
    EXPECT_EQ(parse_wait("--x", "500ms").value(), 500ms);
    EXPECT_EQ(parse_wait("--x", "5s").value(), 5s);
    EXPECT_EQ(parse_wait("--x", "2m").value(), 2min);
    EXPECT_EQ(parse_wait("--x", "0").value(), 0ms);
    for (const char* text : {"", "5", "ms", "5 ms", "5mss", "0.5s", "-5ms", "99999999999999999999ms"}) {
        const auto wait = parse_wait("--nats-timeout", text);
        ASSERT_FALSE(wait) << text;
        EXPECT_TRUE(wait.error().message.starts_with("--nats-timeout: ")) << wait.error().message;
    }
    EXPECT_FALSE(parse_duration("--x", "500ms")) << "whole seconds only";
}

TEST(Duration, IsWrittenInTheLargestUnitThatFits) {
    using namespace std::chrono_literals;
    EXPECT_EQ(duration_text(7 * 24h), "7d");
    EXPECT_EQ(duration_text(90s), "90s");
    EXPECT_EQ(duration_text(5min), "5m");
    EXPECT_EQ(duration_text(1s), "1s");
    EXPECT_EQ(duration_text(0s), "0s");
    EXPECT_EQ(duration_text(1500ms), "1500ms");
    EXPECT_EQ(duration_text(100ms), "100ms");
}

TEST(Percentage, IsBetweenNoneAndAll) {
    EXPECT_EQ(parse_percentage("--x", "99%").value(), 99);
    EXPECT_EQ(parse_percentage("--x", "99.5%").value(), 99.5);
    EXPECT_EQ(parse_percentage("--x", "0").value(), 0);
    EXPECT_EQ(parse_percentage("--x", "100%").value(), 100);
    for (const char* text : {"", "%", "101%", "-1%", "nan", "inf", "99%%", "1e1", " 9"})
        EXPECT_FALSE(parse_percentage("--x", text)) << text;
}

} // namespace
} // namespace kudo
