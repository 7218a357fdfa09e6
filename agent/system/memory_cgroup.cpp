// SPDX-License-Identifier: MIT
#include "agent/system/memory_cgroup.h"

#include <fstream>
#include <string>

namespace kudo {
namespace fs = std::filesystem;
namespace {

// cgroup v1 writes the largest number of whole pages where there is no limit.
constexpr uint64_t no_limit = 1ULL << 62;

void tighten(std::optional<MemoryLimit>& tightest, const fs::path& file) {
    uint64_t bytes = 0;
    // "max" is no number.
    if (!(std::ifstream(file) >> bytes) || bytes >= no_limit) return;
    if (!tightest || bytes < tightest->bytes) tightest = MemoryLimit{bytes, file};
}

} // namespace

std::optional<MemoryLimit> memory_limit(const fs::path& root) {
    std::optional<MemoryLimit> tightest;
    std::ifstream groups(root / "proc/self/cgroup");
    // "0::/system.slice/a.service" (v2), "4:memory:/a" (v1): man 7 cgroups.
    for (std::string line; std::getline(groups, line);) {
        const auto first = line.find(':'), second = line.find(':', first + 1);
        if (second == std::string::npos) continue;
        const std::string controllers = line.substr(first + 1, second - first - 1);
        if (!controllers.empty() && controllers != "memory") continue;
        const fs::path mount = root / "sys/fs/cgroup" / controllers;
        const char* name = controllers.empty() ? "memory.max" : "memory.limit_in_bytes";
        for (fs::path group = fs::path(line.substr(second + 1)).relative_path();; group = group.parent_path()) {
            tighten(tightest, mount / group / name);
            if (group.empty()) break;
        }
    }
    return tightest;
}

} // namespace kudo
