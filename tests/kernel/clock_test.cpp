// SPDX-License-Identifier: MIT
// The kernel's ticks as the agent reads them.
// Invariant: what is expected is measured with the monotonic clock.
#include <chrono>
#include <thread>

#include "agent/datapath/clock.h"
#include "tests/kernel/kernel_test.h"

namespace kudo::test {
namespace {

class Clock : public KernelTest {};

TEST_F(Clock, TicksPerSecondIsTheRateThatJiffiesRunAt) {
    const Datapath datapath;
    const auto start = std::chrono::steady_clock::now();
    const uint64_t first = datapath.jiffies();
    std::this_thread::sleep_for(std::chrono::seconds(1));
    const auto ticks = static_cast<double>(datapath.jiffies() - first);
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
    EXPECT_NEAR(ticks / seconds.count() / static_cast<double>(ticks_per_second()), 1, 0.05);
}

} // namespace
} // namespace kudo::test
