// SPDX-License-Identifier: MIT
// What decides whether the log goes to systemd's journal. What arrives there: tests/package/boot.py.
#include <gtest/gtest.h>

#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <string>

#include <fmt/format.h>

#include "agent/system/fd.h"
#include "agent/system/journal.h"

namespace kudo::test {
namespace {

std::string stream_of(int fd) {
    struct stat about {};
    fstat(fd, &about);
    return fmt::format("{}:{}", about.st_dev, about.st_ino);
}

TEST(Journal, TheStreamIsToldByItsDeviceAndInode) {
    int ends[2];
    ASSERT_EQ(pipe(ends), 0);
    const Fd one(ends[0]), other(ends[1]);
    const std::string named = stream_of(one.get());
    EXPECT_TRUE(is_journal_stream(one.get(), named.c_str()));
    EXPECT_FALSE(is_journal_stream(STDIN_FILENO, named.c_str())); // redirected since
    EXPECT_FALSE(is_journal_stream(one.get(), nullptr));
    EXPECT_FALSE(is_journal_stream(one.get(), ""));
    EXPECT_FALSE(is_journal_stream(one.get(), (named + "0").c_str()));
    EXPECT_FALSE(is_journal_stream(-1, named.c_str()));
}

TEST(Journal, ElsewhereTheLogStaysText) {
    unsetenv("JOURNAL_STREAM");
    EXPECT_EQ(journal_sink("/var/lib/kudo-agent"), nullptr);
}

} // namespace
} // namespace kudo::test
