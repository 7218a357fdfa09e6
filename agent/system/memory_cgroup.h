// SPDX-License-Identifier: MIT
// How much memory this process's control group may have: the kernel's ENOMEM for a map does not say.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>

namespace kudo {

struct MemoryLimit {
    uint64_t bytes = 0;
    std::filesystem::path file; // that sets it: memory.max, or of cgroup v1 memory.limit_in_bytes
};

// The tightest of the group and those above it; nothing where there is none. `root`: of /proc and /sys.
std::optional<MemoryLimit> memory_limit(const std::filesystem::path& root = "/");

} // namespace kudo
