// SPDX-License-Identifier: MIT
// Which processes have a socket: this one and its children, in control groups that the test makes, and a /proc of
// files.
#include <gtest/gtest.h>

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>

#include "agent/sockets/owners.h"
#include "agent/system/fd.h"
#include "tests/support/temporary_folder.h"

namespace kudo::test {
namespace {

struct Inode {
    Fd fd{socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)};
    [[nodiscard]] uint32_t number() const {
        struct stat about {};
        fstat(fd.get(), &about);
        return static_cast<uint32_t>(about.st_ino);
    }
};

// A child that waits for its end, with what this process has open.
class Child {
public:
    Child() : pid_(fork()) {
        if (pid_ == 0) {
            pause();
            _exit(0);
        }
    }
    ~Child() {
        kill(pid_, SIGKILL);
        waitpid(pid_, nullptr, 0);
    }
    Child(const Child&) = delete;
    Child& operator=(const Child&) = delete;
    [[nodiscard]] int pid() const { return pid_; }

private:
    int pid_;
};

SocketOwners find(const std::set<uint32_t>& inodes, const std::filesystem::path& proc = "/proc") {
    auto owners = owners_of(inodes, proc);
    if (!owners) throw std::runtime_error(owners.error().message);
    return std::move(*owners);
}

// By its number: a child's may be smaller than its parent's, once the kernel has begun again from the start.
const SocketOwner* owner_with(int pid, const std::vector<SocketOwner>& owners) {
    const auto found = std::ranges::find(owners, pid, &SocketOwner::pid);
    return found == owners.end() ? nullptr : &*found;
}

TEST(OwnersOfSockets, TheProcessThatHasItOpenIsFoundWithItsName) {
    const Inode inode;
    const auto owners = find({inode.number()});
    ASSERT_EQ(owners.by_inode.size(), 1U);
    const auto& list = owners.by_inode.at(inode.number());
    ASSERT_EQ(list.size(), 1U);
    EXPECT_EQ(list[0].pid, getpid());
    EXPECT_EQ(list[0].name, "kudo_component_");
}

TEST(OwnersOfSockets, AllThatShareItAreListed) {
    const Inode inode;
    const Child child;
    const auto owners = find({inode.number()}).by_inode.at(inode.number());
    EXPECT_EQ(owners.size(), 2U);
    EXPECT_NE(owner_with(getpid(), owners), nullptr);
    EXPECT_NE(owner_with(child.pid(), owners), nullptr);
}

TEST(OwnersOfSockets, ASocketThatNobodyHasIsOnlyNoneWhereAllCouldBeRead) {
    const auto owners = find({4'000'000'000});
    EXPECT_TRUE(owners.by_inode.empty());
    EXPECT_FALSE(owners.cut);
}

// Somebody who may read nobody else's descriptors.
TEST(OwnersOfSockets, WhatMayNotBeReadIsCountedAsHidden) {
    const Inode inode;
    const Child others; // of root
    int status = 0;
    const int child = fork();
    if (child == 0) {
        if (setgid(65534) != 0 || setuid(65534) != 0) _exit(2);
        const auto owners = owners_of({inode.number()});
        _exit(owners && owners->hidden > 0 && !owners->complete() ? 0 : 1);
    }
    waitpid(child, &status, 0);
    EXPECT_EQ(WEXITSTATUS(status), 0);
}

TEST(OwnersOfSockets, TheUnitIsThatOfTheControlGroup) {
    const TemporaryFolder folder;
    // The kernel has one tree of version 2, whoever mounts it.
    if (mount("none", folder.path().c_str(), "cgroup2", 0, nullptr) != 0) GTEST_SKIP() << "no cgroup2";
    const auto scope = folder.path() / ("kudo-test-" + std::to_string(getpid()) + ".scope");
    ASSERT_EQ(mkdir(scope.c_str(), 0755), 0);
    {
        const Inode inode;
        const Child child;
        std::ofstream(scope / "cgroup.procs") << child.pid();
        const auto owners = find({inode.number()}).by_inode.at(inode.number());
        const SocketOwner* const owner = owner_with(child.pid(), owners);
        ASSERT_NE(owner, nullptr);
        EXPECT_EQ(owner->unit, scope.filename().string());
    }
    while (rmdir(scope.c_str()) != 0 && errno == EBUSY)
        usleep(1000);
    umount2(folder.path().c_str(), MNT_DETACH);
}

} // namespace
} // namespace kudo::test
