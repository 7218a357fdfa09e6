// SPDX-License-Identifier: MIT
// The folder of trusted keys among what editors, people and other programs leave in folders.
#include "agent/state/trusted_keys.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include "tests/support/temporary_folder.h"
#include "tests/unit/maps/signing.h"

namespace kudo {
namespace {

class TrustedKeys : public testing::Test {
protected:
    TrustedKeys() {
        temporary_.write("one.pub", one_ + "\n");
        temporary_.write("two.pub", two_ + "\n");
    }
    [[nodiscard]] KeysFolder read(unsigned threshold = 1) const { return read_keys_folder(folder_, threshold).value(); }
    // The one file that is no key is named, and both keys count.
    void expect_problem(const std::string& name, const std::string& says) const {
        const auto folder = read();
        EXPECT_EQ(folder.keys.keys.size(), 2U) << name;
        ASSERT_EQ(folder.problems.size(), 1U) << name;
        EXPECT_TRUE(folder.problems[0].starts_with((folder_ / name).string() + ": ")) << folder.problems[0];
        EXPECT_NE(folder.problems[0].find(says), std::string::npos) << folder.problems[0];
    }
    void expect_nothing_said() const {
        EXPECT_EQ(read().keys.keys.size(), 2U);
        EXPECT_EQ(read().problems, std::vector<std::string>());
    }

    const std::string one_ = Signer(1).public_key.text(), two_ = Signer(2).public_key.text();
    const test::TemporaryFolder temporary_;
    const std::filesystem::path folder_ = temporary_.path();
};

TEST_F(TrustedKeys, AFileOfAnotherKindIsNamedAndTheOthersCount) {
    temporary_.write("ssh.pub", "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJmeZTzRnYR1mGiOWXvTPEXq admin@host\n");
    expect_problem("ssh.pub", "not the 56 characters of base64 that a public key is");
}

TEST_F(TrustedKeys, AnEmptyFileIsNamed) {
    temporary_.write("empty.pub", "");
    expect_problem("empty.pub", "not a minisign public key");
}

TEST_F(TrustedKeys, AFolderAFifoALinkAndALargeFileAreNamed) {
    std::filesystem::create_directory(folder_ / "x.pub");
    expect_problem("x.pub", "not a regular file");
    std::filesystem::remove(folder_ / "x.pub");
    ASSERT_EQ(mkfifo((folder_ / "x.pub").c_str(), 0600), 0);
    expect_problem("x.pub", "not a regular file");
    std::filesystem::remove(folder_ / "x.pub");
    std::filesystem::create_symlink("nowhere", folder_ / "x.pub");
    expect_problem("x.pub", "a symbolic link");
    std::filesystem::remove(folder_ / "x.pub");
    temporary_.write("x.pub", std::string(100'000, 'x'));
    expect_problem("x.pub", "larger than");
}

TEST_F(TrustedKeys, WhatEditorsLeaveBehindIsIgnored) {
    std::filesystem::create_symlink("admin@host.123:456", folder_ / ".#one.pub");
    temporary_.write("one.pub~", "old");
    temporary_.write(".one.pub.swp", "b0VIM");
    temporary_.write("#one.pub#", "half");
    temporary_.write("one.pub.bak", "old");
    temporary_.write(".hidden.pub", "old");
    expect_nothing_said();
}

TEST_F(TrustedKeys, EmptyLinesAtTheEndAndLineEndsOfWindowsAreValid) {
    temporary_.write("one.pub", "untrusted comment: minisign public key\r\n" + one_ + "\r\n\r\n");
    temporary_.write("two.pub", two_ + "\n\n\n");
    expect_nothing_said();
}

TEST_F(TrustedKeys, AMissingFolderHasNoKeysAndNoProblem) {
    const auto folder = read_keys_folder(folder_ / "none", 2).value();
    EXPECT_TRUE(folder.keys.keys.empty());
    EXPECT_TRUE(folder.problems.empty());
    EXPECT_TRUE(folder.check_threshold());
}

TEST_F(TrustedKeys, FewerKeysNeverMakeTheThresholdSmaller) {
    EXPECT_TRUE(read(2).check_threshold());
    temporary_.write("two.pub", "damaged\n");
    const auto folder = read(2);
    EXPECT_EQ(folder.keys.threshold, 2U);
    ASSERT_FALSE(folder.check_threshold());
    const Error error = folder.check_threshold().error();
    EXPECT_EQ(error.kind, ErrorKind::BadInput);
    EXPECT_TRUE(
        error.message.starts_with("--key-threshold: 2 signatures can never come from the 1 key in " + folder_.string()))
        << error.message;
    EXPECT_NE(error.message.find("two.pub: line 1: "), std::string::npos) << error.message;
    const std::string document = "{}";
    const auto one_signs = Signer(1).sign(document);
    EXPECT_FALSE(verify(folder.keys, document, one_signs, "x")) << "one signature of two is not enough";
    EXPECT_TRUE(verify(read(1).keys, document, one_signs, "x")) << "the check above cannot fail";
}

TEST_F(TrustedKeys, TheSameKeyInTwoFilesCountsOnce) {
    temporary_.write("two.pub", one_ + "\n");
    EXPECT_FALSE(read(2).check_threshold());
}

TEST_F(TrustedKeys, WithoutAnyKeyLeftTheThresholdCannotBeMet) {
    temporary_.write("one.pub", "damaged\n");
    temporary_.write("two.pub", "damaged\n");
    EXPECT_FALSE(read(1).check_threshold());
}

TEST_F(TrustedKeys, ManyFilesThatAreNoKeysAreCounted) {
    for (int number = 0; number < 100; number++)
        temporary_.write(std::to_string(number) + ".pub", "damaged\n");
    const auto problems = read().problems;
    ASSERT_EQ(problems.size(), 9U);
    EXPECT_EQ(problems.back(), "and 92 more files");
}

TEST_F(TrustedKeys, AFileNameCannotWriteIntoTheLog) {
    temporary_.write("a\n\x1b[2J.pub", "damaged\n");
    const auto problems = read().problems;
    ASSERT_EQ(problems.size(), 1U);
    for (const char letter : problems[0])
        EXPECT_TRUE(letter >= ' ' && letter <= '~') << problems[0];
}

TEST_F(TrustedKeys, AllThatIsWrongIsSaidForTheAlarms) {
    EXPECT_TRUE(keys_folder_problems(folder_, 2).empty());
    EXPECT_EQ(keys_folder_problems(folder_, 3).size(), 1U);
    temporary_.write("ssh.pub", "ssh-ed25519 AAAA\n");
    EXPECT_EQ(keys_folder_problems(folder_, 2).size(), 1U);
    EXPECT_NE(keys_folder_problems(folder_, 3)[0].find("ssh.pub"), std::string::npos);
    EXPECT_EQ(keys_folder_problems(folder_ / "one.pub", 1).size(), 1U);
}

} // namespace
} // namespace kudo
