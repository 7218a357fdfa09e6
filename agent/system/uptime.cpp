// SPDX-License-Identifier: MIT
#include "agent/system/uptime.h"

#include <algorithm>
#include <ctime>

#include "agent/system/files.h"

namespace kudo {

Uptime read_uptime() {
    Uptime uptime;
    if (auto boot = read_file("/proc/sys/kernel/random/boot_id", 64)) uptime.boot = boot->substr(0, boot->find('\n'));
    timespec now{};
    clock_gettime(CLOCK_BOOTTIME, &now);
    uptime.since_boot = std::chrono::seconds(now.tv_sec);
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
