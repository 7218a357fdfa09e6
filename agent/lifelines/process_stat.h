// SPDX-License-Identifier: MIT
// What /proc tells of one process.
// Invariant: a process is known by its number and its start together: numbers are used again.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

namespace kudo {

struct ProcessStat {                                         // proc(5)
    std::string name{};                                      // of the command, at most 15 bytes, escaped
    int parent = 0;                                          // 0: none in this PID namespace
    uint32_t terminal = 0;                                   // device number as there; 0: none
    uint64_t started = 0;                                    // ns of CLOCK_BOOTTIME, rounded down
    static constexpr uint64_t start_resolution = 10'000'000; // to that: USER_HZ is 100
    bool operator==(const ProcessStat&) const = default;
};

// Nothing: no such process, or it is not shown.
std::optional<ProcessStat> read_process_stat(const std::filesystem::path& proc, int pid);

// The kernel's number of its login, /proc/PID/sessionid (pam_loginuid(8)). Nothing: it is not told, or the kernel does
// not count logins.
inline constexpr uint32_t no_login_number = UINT32_MAX; // counted, but the process is of no login
std::optional<uint32_t> read_login(const std::filesystem::path& proc, int pid);

} // namespace kudo
