// SPDX-License-Identifier: MIT
// What `run --check` says about files, and what the installed unit would make of them.
#include "cli/commands/run_check.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>

#include "tests/support/temporary_folder.h"

namespace kudo {
namespace {

constexpr ServiceUser the_user{64321, 64322};

std::vector<std::string> warnings_of(const NamedPath& named) {
    return check_path(named, the_user).value();
}

TEST(RunCheck, WhatTheUnitHidesIsTold) {
    const test::TemporaryFolder temporary; // below /tmp
    const auto warnings = warnings_of({"--drop-folder", temporary.path(), NamedPath::Folder});
    ASSERT_EQ(warnings.size(), 1U);
    EXPECT_NE(warnings[0].find("does not see /tmp, for PrivateTmp=yes"), std::string::npos) << warnings[0];
    EXPECT_NE(warnings_of({"--state-dir", "/home/x/state", NamedPath::Written})[0].find("ProtectHome=yes"),
              std::string::npos);
    EXPECT_TRUE(warnings_of({"--drop-folder", "/etc", NamedPath::Folder}).empty());
    EXPECT_TRUE(warnings_of({"--https-ca", "/etc/passwd"}).empty());
}

TEST(RunCheck, ALinkIsJudgedByWhereItLeads) {
    const test::TemporaryFolder temporary;
    std::filesystem::create_symlink("/etc", temporary.path() / "link");
    EXPECT_TRUE(warnings_of({"--drop-folder", temporary.path() / "link", NamedPath::Folder}).empty());
}

TEST(RunCheck, WhereTheUnitMayNotWriteIsTold) {
    EXPECT_TRUE(warnings_of({"--state-dir", "/var/lib/kudo-agent", NamedPath::Written}).empty());
    EXPECT_TRUE(warnings_of({"--state-dir", "/var/lib/kudo-agent/a", NamedPath::Written}).empty());
    EXPECT_TRUE(warnings_of({"--bpffs", "/sys/fs/bpf", NamedPath::Written}).empty());
    for (const auto* path : {"/srv/kudo", "/var/lib/kudo-agent2", "/sys/fs/bpf2"}) {
        const auto warnings = warnings_of({"--state-dir", path, NamedPath::Written});
        ASSERT_EQ(warnings.size(), 1U) << path;
        EXPECT_NE(warnings[0].find(std::string("ReadWritePaths=") + path), std::string::npos) << warnings[0];
    }
}

TEST(RunCheck, WhatIsNotThereOrOfAnotherKindIsRefused) {
    const test::TemporaryFolder temporary;
    const auto refusal = [](const NamedPath& named) { return check_path(named, the_user).error().message; };
    EXPECT_EQ(refusal({"--https-ca", "/nonexistent"}), "--https-ca: /nonexistent: No such file or directory");
    EXPECT_EQ(refusal({"--https-ca", "/etc"}), "--https-ca: /etc: not a regular file");
    EXPECT_EQ(refusal({"--keys", "/etc/passwd", NamedPath::Folder}), "--keys: /etc/passwd: not a folder");
    const auto pipe = temporary.path() / "pipe";
    ASSERT_EQ(mkfifo(pipe.c_str(), 0600), 0);
    EXPECT_EQ(refusal({"--https-ca", pipe}), "--https-ca: " + pipe.string() + ": not a regular file");
}

TEST(RunCheck, WhatIsAppendedToIsARegularFileOrNewInAFolderThatIsThere) {
    const test::TemporaryFolder temporary;
    const auto path = [&](const char* name) { return temporary.path() / name; };
    const auto refusal = [](const std::filesystem::path& file) -> std::string {
        const auto checked = check_path({"--flow-records", file, NamedPath::Appended}, the_user);
        return checked ? "" : checked.error().message.substr(checked.error().message.rfind(": ") + 2);
    };
    EXPECT_EQ(refusal(path("new.json")), "");
    std::ofstream(path("file")) << "x";
    EXPECT_EQ(refusal(path("file")), "");
    std::filesystem::create_symlink("file", path("link"));
    EXPECT_EQ(refusal(path("link")), "a symbolic link, which is not followed");
    ASSERT_EQ(mkfifo(path("pipe").c_str(), 0600), 0);
    EXPECT_EQ(refusal(path("pipe")), "not a regular file");
    EXPECT_EQ(refusal(temporary.path()), "not a regular file");
    EXPECT_EQ(refusal(path("nowhere") / "file"), "there is no folder " + path("nowhere").string());
    EXPECT_EQ(refusal("/var/log/kudo-agent/flows.json"), "") << "systemd makes that folder";
}

// The service has no CAP_DAC_OVERRIDE: modes count. Outside of /tmp, which the unit hides.
TEST(RunCheck, AFileThatTheUnitsUserMayNotReadByItsModeIsTold) {
    if (getuid() != 0) GTEST_SKIP() << "files of other users can only be made by root";
    const std::filesystem::path folder = "/run/kudo-check-" + std::to_string(getpid());
    ASSERT_TRUE(std::filesystem::create_directory(folder));
    const std::filesystem::path file = folder / "file";
    std::ofstream(file) << "x";
    const auto says = [&](mode_t mode, uid_t owner, gid_t group) {
        EXPECT_EQ(chmod(file.c_str(), mode) + chown(file.c_str(), owner, group), 0);
        const auto warnings = warnings_of({"--nats-key", file});
        return warnings.empty() ? "" : warnings[0];
    };
    EXPECT_EQ(says(0600, 64321, 0), "");
    EXPECT_EQ(says(0644, 0, 0), "");
    EXPECT_EQ(says(0640, 0, 64322), "");
    EXPECT_NE(says(0600, 0, 0).find("the mode of " + file.string() + " does not let the user kudo-agent read it"),
              std::string::npos);
    EXPECT_NE(says(0604, 0, 64322), "");
    EXPECT_EQ(says(0644, 0, 0), "");
    EXPECT_EQ(chmod(folder.c_str(), 0700) + chown(folder.c_str(), 65534, 65534), 0);
    EXPECT_NE(says(0644, 0, 0).find("the mode of " + folder.string() + " does"), std::string::npos);
    std::filesystem::remove_all(folder);
}

} // namespace
} // namespace kudo
