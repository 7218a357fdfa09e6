// SPDX-License-Identifier: MIT
// Where a command was given from, read from a /proc of files.
// Invariant: what cannot be read is empty or 0.
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include <fmt/format.h>

#include "agent/lifelines/session.h"
#include "tests/support/temporary_folder.h"

namespace kudo {
namespace {

class SessionOfProc : public testing::Test {
protected:
    // A process with this parent, and, if it is not empty, this SSH_CONNECTION.
    void process(int pid, int parent, const std::string& ssh, uint64_t started = 100) const {
        const auto folder = proc_ / std::to_string(pid);
        std::filesystem::create_directories(folder);
        std::string fields = fmt::format("{} (a (strange) name) S {}", pid, parent);
        for (int field = 5; field < 22; ++field)
            fields += " 0";
        std::ofstream(folder / "stat") << fields << ' ' << started << " 0 0\n";
        std::ofstream environment(folder / "environ");
        environment << "HOME=/root" << '\0';
        if (!ssh.empty()) environment << "SSH_CONNECTION=" << ssh << '\0';
    }
    const test::TemporaryFolder temporary_;
    const std::filesystem::path proc_ = temporary_.path();
    const int self_ = getpid(), above_ = self_ + 1, shell_ = self_ + 2, first_ = self_ + 3;
};

constexpr const char* one = "203.0.113.9 50022 10.0.0.2 22";
constexpr const char* other = "203.0.113.9 50023 10.0.0.2 22";

TEST_F(SessionOfProc, HasTheConnectionThatSudoHides) {
    process(self_, above_, "");
    process(above_, shell_, "");  // sudo
    process(shell_, first_, one); // the shell
    process(first_, 0, "");
    EXPECT_EQ(own_session(proc_).ssh, one);
}

TEST_F(SessionOfProc, HasTheNearestConnectionAndThoseAbove) {
    process(self_, above_, other);
    process(above_, shell_, other);
    process(shell_, first_, one);
    process(first_, 0, "");
    const Session session = own_session(proc_);
    EXPECT_EQ(session.ssh, other);
    EXPECT_EQ(session.ssh_above, std::vector<std::string>{one});
}

TEST_F(SessionOfProc, TellsWhenItsLeaderWasStarted) {
    process(self_, 0, "not a connection");
    const int leader = getsid(0); // 0 if it is outside this process namespace, as it is in a container
    if (leader != self_ && leader != 0) process(leader, 0, "", 4200);
    const Session session = own_session(proc_);
    EXPECT_EQ(session.ssh, "");
    EXPECT_EQ(session.leader, leader);
    const uint64_t started = leader == 0 ? 0 : leader == self_ ? 100 : 4200;
    EXPECT_EQ(session.leader_started, started * Session::start_resolution);
    EXPECT_EQ(session.login, Session::no_login);
}

TEST_F(SessionOfProc, WithoutProcIsUnknown) {
    const Session session = own_session(proc_ / "nothing");
    EXPECT_EQ(session.ssh, "");
    EXPECT_EQ(session.leader_started, 0U);
}

} // namespace
} // namespace kudo
