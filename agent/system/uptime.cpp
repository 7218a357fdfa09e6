// SPDX-License-Identifier: MIT
#include "agent/system/uptime.h"

#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <ctime>
#include <sstream>

#include "agent/system/files.h"

namespace kudo {
namespace {

constexpr int64_t second = 1'000'000'000;

// What a process's clocks show more than the kernel's, in ns.
struct Shifts {
    int64_t monotonic = 0, boottime = 0;
};

Shifts parse_shifts(const std::string& offsets) {
    Shifts shifts;
    std::istringstream lines(offsets);
    for (std::string clock; lines >> clock;) {
        int64_t seconds = 0, nanoseconds = 0;
        if (!(lines >> seconds >> nanoseconds)) break;
        if (clock == "boottime") shifts.boottime = seconds * second + nanoseconds;
        if (clock == "monotonic") shifts.monotonic = seconds * second + nanoseconds;
    }
    return shifts;
}

// /proc/self/timens_offsets is of the namespace that children will be in. Before Linux 6.3 a process that has asked for
// a new one is itself in the one of before, also after exec.
Result<Shifts> read_shifts() {
    constexpr ino_t initial = 0xEFFFFFFA; // PROC_TIME_INIT_INO
    struct stat own {
    }, of_children{};
    if (stat("/proc/self/ns/time", &own) != 0) {
        struct stat other {};
        if (errno == ENOENT && stat("/proc/self/ns/net", &other) == 0) return Shifts{}; // a kernel without them
        return fail_errno("/proc/self/ns/time: cannot tell the time since the boot");
    }
    if (own.st_ino == initial) return Shifts{};
    if (stat("/proc/self/ns/time_for_children", &of_children) != 0 || of_children.st_ino != own.st_ino)
        return fail(
            "/proc/self/ns/time: this process has asked for another time namespace and is not in it, so by how much "
            "its clocks are shifted is not known; let a child of it give the command");
    const auto offsets = read_file("/proc/self/timens_offsets", 1024);
    if (!offsets) return fail(Error(offsets.error()));
    return parse_shifts(*offsets);
}

// A process keeps its own as long as it lives, but for setns().
const Result<Shifts>& shifts() {
    static const Result<Shifts> known = read_shifts();
    return known;
}

uint64_t now_of(clockid_t clock, int64_t shift) {
    timespec now{};
    clock_gettime(clock, &now); // cannot fail
    return static_cast<uint64_t>(static_cast<int64_t>(now.tv_sec) * second + now.tv_nsec - shift);
}

} // namespace

Result<void> check_kernel_times() {
    if (!shifts()) return fail(Error(shifts().error()));
    return {};
}

uint64_t kernel_boot_time(uint64_t shown) {
    return static_cast<uint64_t>(static_cast<int64_t>(shown) - shifts().value_or(Shifts{}).boottime);
}

uint64_t kernel_boot_time() {
    return now_of(CLOCK_BOOTTIME, shifts().value_or(Shifts{}).boottime);
}

uint64_t kernel_monotonic_time() {
    return now_of(CLOCK_MONOTONIC, shifts().value_or(Shifts{}).monotonic);
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
