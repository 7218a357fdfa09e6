// SPDX-License-Identifier: MIT
// enable in a control group that may not have the memory of its maps.
// Invariant: the group is the test's own, and is gone with it.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include <fmt/format.h>

#include "tests/support/host_test.h"

namespace kudo::test {
namespace {

namespace fs = std::filesystem;

// A memory control group below the hierarchy's root; empty where none can be made.
class MemoryGroup {
public:
    explicit MemoryGroup(uint64_t bytes) {
        for (const auto& [mount, file] :
             {std::pair("/sys/fs/cgroup/memory", "memory.limit_in_bytes"), std::pair("/sys/fs/cgroup", "memory.max")}) {
            std::error_code error;
            const fs::path folder = fs::path(mount) / fmt::format("kudo-test-{}", getpid());
            if (!fs::exists(fs::path(mount) / "cgroup.procs") || !fs::create_directory(folder, error)) continue;
            if (std::ofstream(folder / file) << bytes << std::flush) {
                folder_ = folder;
                file_ = folder / file;
                return;
            }
            rmdir(folder.c_str());
        }
    }
    ~MemoryGroup() {
        if (!folder_.empty()) rmdir(folder_.c_str());
    }
    MemoryGroup(const MemoryGroup&) = delete;
    MemoryGroup& operator=(const MemoryGroup&) = delete;
    [[nodiscard]] const fs::path& folder() const { return folder_; }
    [[nodiscard]] const fs::path& file() const { return file_; }

private:
    fs::path folder_, file_;
};

using MemoryLimits = HostTest;

TEST_F(MemoryLimits, AnEnableThatDoesNotFitNamesTheLimitAndTheOption) {
    const MemoryGroup group(64ULL << 20);
    if (group.folder().empty()) GTEST_SKIP() << "no memory control group can be made here";
    const auto run = [&](const std::vector<std::string>& arguments) {
        std::vector<std::string> argv = {"sh", "-c", "echo $$ > \"$0\"/cgroup.procs && exec \"$@\"", group.folder()};
        const auto words = test_->agent_argv(arguments);
        argv.insert(argv.end(), words.begin(), words.end());
        return inside<Outcome>(test_->host, [&] { return run_program(argv); });
    };
    const Outcome refused = run({"enable", "--region", "ca", "--max-flows", "1048576"});
    EXPECT_EQ(refused.status, 1) << refused.out << refused.err;
    for (const std::string& word : {std::string("64 MiB"), group.file().string(), std::string("--max-flows")})
        EXPECT_NE(refused.err.find(word), std::string::npos) << refused.err;
    EXPECT_FALSE(fs::exists(test_->instance.layout()));
    EXPECT_EQ(test_->agent({"status"}).status, 3) << "nothing changed";
}

} // namespace
} // namespace kudo::test
