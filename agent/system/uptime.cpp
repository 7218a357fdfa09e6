// SPDX-License-Identifier: MIT
#include "agent/system/uptime.h"

#include <algorithm>
#include <ctime>
#include <sstream>

#include "agent/system/files.h"

namespace kudo {
namespace {

constexpr int64_t second = 1'000'000'000;

// "boottime SECONDS NANOSECONDS" in ns; 0 where there are no time namespaces. A process keeps its own as long as it
// lives, but for setns().
int64_t boot_time_shift() {
    const auto offsets = read_file("/proc/self/timens_offsets", 1024);
    std::istringstream lines(offsets ? *offsets : "");
    for (std::string clock; lines >> clock;) {
        int64_t seconds = 0, nanoseconds = 0;
        if (!(lines >> seconds >> nanoseconds)) break;
        if (clock == "boottime") return seconds * second + nanoseconds;
    }
    return 0;
}

} // namespace

uint64_t kernel_boot_time(uint64_t shown) {
    static const int64_t shift = boot_time_shift();
    return static_cast<uint64_t>(static_cast<int64_t>(shown) - shift);
}

uint64_t kernel_boot_time() {
    timespec now{};
    clock_gettime(CLOCK_BOOTTIME, &now);
    return kernel_boot_time(static_cast<uint64_t>(now.tv_sec) * second + static_cast<uint64_t>(now.tv_nsec));
}

Uptime read_uptime() {
    Uptime uptime;
    if (auto boot = read_file("/proc/sys/kernel/random/boot_id", 64)) uptime.boot = boot->substr(0, boot->find('\n'));
    uptime.since_boot = std::chrono::seconds(kernel_boot_time() / second);
    return uptime;
}

std::chrono::sys_seconds wall_time() {
    return std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now());
}

std::chrono::seconds elapsed(const Uptime& earlier, const Uptime& later) {
    if (earlier.boot.empty()) return std::chrono::seconds(0);
    if (earlier.boot != later.boot) return later.since_boot;
    return std::max(std::chrono::seconds(0), later.since_boot - earlier.since_boot);
}

} // namespace kudo
