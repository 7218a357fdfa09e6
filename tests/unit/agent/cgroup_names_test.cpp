// SPDX-License-Identifier: MIT
// Units and containers from the lines of /proc/PID/cgroup.
#include <gtest/gtest.h>

#include "agent/sockets/owners.h"

namespace kudo::test {
namespace {

constexpr const char* id = "3f2a9c1b7d4e5f60718293a4b5c6d7e8f90123456789abcdef0123456789abcd";

TEST(CgroupNames, AUnitOfTheSystem) {
    EXPECT_EQ(names_of_cgroup("0::/system.slice/chrony.service\n").unit, "chrony.service");
    EXPECT_EQ(names_of_cgroup("3:cpu,cpuacct:/\n1:name=systemd:/system.slice/ssh.service\n0::/\n").unit, "ssh.service");
    EXPECT_EQ(names_of_cgroup("0::/\n").unit, "");
    EXPECT_EQ(names_of_cgroup("").unit, "");
    EXPECT_EQ(names_of_cgroup("nonsense\n::\n").unit, "");
}

TEST(CgroupNames, TheInnermostOfAUser) {
    const auto names =
        names_of_cgroup("0::/user.slice/user-1000.slice/user@1000.service/app.slice/app-firefox-12.scope\n");
    EXPECT_EQ(names.unit, "app-firefox-12.scope");
    EXPECT_EQ(names.container, "");
}

TEST(CgroupNames, Containers) {
    const std::string text(id);
    EXPECT_EQ(names_of_cgroup("0::/system.slice/docker-" + text + ".scope\n").container, "docker 3f2a9c1b7d4e");
    EXPECT_EQ(names_of_cgroup("5:memory:/docker/" + text + "\n").container, "docker 3f2a9c1b7d4e");
    EXPECT_EQ(names_of_cgroup("0::/machine.slice/libpod-" + text + ".scope/container\n").container,
              "podman 3f2a9c1b7d4e");
    EXPECT_EQ(
        names_of_cgroup("0::/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod1.slice/cri-containerd-" +
                        text + ".scope\n")
            .container,
        "kubernetes 3f2a9c1b7d4e");
    EXPECT_EQ(names_of_cgroup("4:cpu:/kubepods/besteffort/pod12/" + text + "\n").container, "kubernetes 3f2a9c1b7d4e");
    EXPECT_EQ(names_of_cgroup("0::/system.slice/docker-" + text + ".scope\n").unit, "");
    EXPECT_EQ(names_of_cgroup("0::/system.slice/docker-3f2a.scope\n").container, "") << "no whole identifier";
}

TEST(CgroupNames, AreEscaped) {
    EXPECT_EQ(names_of_cgroup("0::/system.slice/a\x1b[31m.service\n").unit.find('\x1b'), std::string::npos);
}

} // namespace
} // namespace kudo::test
