// SPDX-License-Identifier: MIT
// The host's two times: by its clock, which may be set, and how long it has been running, which no step of the clock
// changes.
// Invariant: of two readings the later one is never lower within one boot.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

#include "maps/base/result.h"

namespace kudo {

struct Uptime {
    std::string boot;                  // /proc/sys/kernel/random/boot_id; empty: none was read yet
    std::chrono::seconds since_boot{}; // CLOCK_BOOTTIME: suspension counts
    bool operator==(const Uptime&) const = default;
};

Uptime read_uptime();

// ns of CLOCK_BOOTTIME as the kernel itself and its BPF programs count them, now or of what this process's clock or
// /proc shows: in a time namespace these are shifted (time_namespaces(7)).
uint64_t kernel_boot_time();
uint64_t kernel_boot_time(uint64_t shown);
// The same of CLOCK_MONOTONIC.
uint64_t kernel_monotonic_time();
// Is it known by how much they are shifted? If not, they are taken as not shifted at all.
Result<void> check_kernel_times();
// The system's clock, in whole seconds.
std::chrono::sys_seconds wall_time();

// Running time from one reading to a later one. Across a boot it is at least what the new one has run.
std::chrono::seconds elapsed(const Uptime& earlier, const Uptime& later);

} // namespace kudo
