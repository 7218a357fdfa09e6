// SPDX-License-Identifier: MIT
#include <sys/stat.h>
#include <unistd.h>

#include <gtest/gtest.h>

#include "agent/system/files.h"
#include "tests/support/temporary_folder.h"

namespace kudo {
namespace {

constexpr uid_t somebody = 12345;

uid_t owner_of(const std::string& path) {
    struct stat about {};
    return lstat(path.c_str(), &about) == 0 ? about.st_uid : static_cast<uid_t>(-1);
}

// The service's user reads what a command of root's has written, also of one that was killed then.
TEST(Files, OfRootInSomebodysFolderAreTheirs) {
    if (geteuid() != 0) GTEST_SKIP() << "takes root";
    const test::TemporaryFolder folder;
    const std::string file = folder.path() / "state.json", inner = folder.path() / "a/b";
    ASSERT_TRUE(replace_file(file, "x"));
    EXPECT_EQ(owner_of(file), 0U) << "the folder is root's";
    ASSERT_EQ(chown(folder.path().c_str(), somebody, somebody), 0);
    ASSERT_TRUE(replace_file(file, "y"));
    EXPECT_EQ(owner_of(file), somebody);
    ASSERT_TRUE(make_folder(inner));
    EXPECT_EQ(owner_of(inner), somebody);
    ASSERT_EQ(symlink("/", (folder.path() / "link").c_str()), 0);
    ASSERT_TRUE(make_folder(folder.path() / "link"));
    EXPECT_EQ(owner_of("/"), 0U) << "what a link leads to stays whose it is";
}

} // namespace
} // namespace kudo
