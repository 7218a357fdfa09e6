// SPDX-License-Identifier: MIT
// The processes that a command hangs on: itself, its parent, and so on. What has brought it here, a connection or a
// login, is one of them, unless the command has outlived that (setsid, nohup) or comes from a service (cron, at).
// Invariant: each process is known by its number and its start; what cannot be read is told as unknown.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <set>
#include <vector>

#include "agent/lifelines/process_stat.h"

namespace kudo {

struct Ancestor {
    int pid = 0;
    ProcessStat stat{};
    std::optional<uint32_t> login{};             // as read_login()
    std::optional<std::set<uint32_t>> sockets{}; // inodes of those that it has open; nothing: not to be known
};

struct Ancestry {
    enum class End {
        First,   // the first process of this PID namespace, which is left out
        Outside, // a parent in another PID namespace, as of what is started in a container from outside
        Unknown, // /proc does not tell, or a process has ended meanwhile
    };
    std::vector<Ancestor> processes{}; // this process first
    End end = End::Unknown;
};

// Of this process.
Ancestry own_ancestry(const std::filesystem::path& proc = "/proc");

// The highest number of a login that any process is of now: a login with a higher one begins later. 0: none is of any.
// Nothing: the kernel counts none, or not all processes are shown.
std::optional<uint32_t> last_login(const std::filesystem::path& proc = "/proc");

} // namespace kudo
