// SPDX-License-Identifier: MIT
// The loop that runs handlers of readable descriptors.
#include <gtest/gtest.h>

#include <unistd.h>

#include <chrono>

#include "agent/system/event_loop.h"
#include "agent/system/fd.h"

namespace kudo {
namespace {

using namespace std::chrono_literals;

TEST(EventLoop, ADescriptorThatWasForgottenWakesItNoMore) {
    auto loop = EventLoop::make().value();
    int ends[2] = {-1, -1};
    ASSERT_EQ(pipe(ends), 0);
    const Fd read_end(ends[0]), write_end(ends[1]);
    ASSERT_EQ(write(write_end.get(), "x", 1), 1); // readable from here on
    int runs = 0;
    ASSERT_TRUE(loop.watch(read_end.get(), [&] { ++runs; }).has_value());
    ASSERT_TRUE(loop.wait(std::chrono::steady_clock::now() + 10s).has_value());
    ASSERT_EQ(runs, 1);
    loop.forget(read_end.get());
    const auto deadline = std::chrono::steady_clock::now() + 50ms;
    ASSERT_TRUE(loop.wait(deadline).has_value());
    EXPECT_GE(std::chrono::steady_clock::now(), deadline);
    EXPECT_EQ(runs, 1);
    ASSERT_TRUE(loop.watch(read_end.get(), [&] { ++runs; }).has_value()) << "may be watched again";
    ASSERT_TRUE(loop.wait(std::chrono::steady_clock::now() + 10s).has_value());
    EXPECT_EQ(runs, 2);
}

} // namespace
} // namespace kudo
