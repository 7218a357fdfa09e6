// SPDX-License-Identifier: MIT
#include "agent/system/memory_cgroup.h"

#include <gtest/gtest.h>

#include <fstream>

#include "tests/support/temporary_folder.h"

namespace kudo::test {
namespace {

namespace fs = std::filesystem;

class MemoryCgroup : public testing::Test {
protected:
    void write(const std::string& file, const std::string& text) const {
        const fs::path path = root() / file;
        fs::create_directories(path.parent_path());
        std::ofstream(path) << text;
    }
    [[nodiscard]] fs::path root() const { return folder_.path(); }
    TemporaryFolder folder_;
};

TEST_F(MemoryCgroup, TheTightestOfAGroupAndThoseAboveItIsTheLimit) {
    write("proc/self/cgroup", "0::/system.slice/kudo-agent.service\n");
    write("sys/fs/cgroup/system.slice/memory.max", "1048576\n");
    write("sys/fs/cgroup/system.slice/kudo-agent.service/memory.max", "2097152\n");
    const auto limit = memory_limit(root());
    ASSERT_TRUE(limit);
    EXPECT_EQ(limit->bytes, 1048576u);
    EXPECT_EQ(limit->file, root() / "sys/fs/cgroup/system.slice/memory.max");
}

TEST_F(MemoryCgroup, MaxAndTheFirstVersionsLargestNumberAreNoLimit) {
    write("proc/self/cgroup", "4:memory:/a\n3:cpuset:/b\n0::/c\n");
    write("sys/fs/cgroup/memory/a/memory.limit_in_bytes", "9223372036854771712\n");
    write("sys/fs/cgroup/c/memory.max", "max\n");
    EXPECT_FALSE(memory_limit(root()));
    write("sys/fs/cgroup/memory/memory.limit_in_bytes", "4096\n");
    ASSERT_TRUE(memory_limit(root()));
    EXPECT_EQ(memory_limit(root())->bytes, 4096u);
}

TEST_F(MemoryCgroup, WhatCannotBeReadIsNoLimit) {
    EXPECT_FALSE(memory_limit(root()));
    write("proc/self/cgroup", "nonsense\n0:\n0::/../gone\n");
    EXPECT_FALSE(memory_limit(root()));
}

} // namespace
} // namespace kudo::test
