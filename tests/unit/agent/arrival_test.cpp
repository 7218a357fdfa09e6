// SPDX-License-Identifier: MIT
// What shows that a host can be reached, and what does not: by the processes above a command and their connections.
// Invariant: nothing here asks the machine that runs the tests.
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include <fmt/format.h>

#include "agent/lifelines/arrival.h"
#include "tests/support/temporary_folder.h"

namespace kudo {
namespace {

constexpr uint64_t since = 5'000'000'000, older = since - ProcessStat::start_resolution;
constexpr uint32_t pty = 136 << 8, console = 4 << 8 | 1, serial = 4 << 8 | 64;
constexpr uint8_t established = 1, listening = 10;

Address address(const char* text) {
    return Address::parse(text).value();
}

Socket tcp(uint32_t inode, const char* remote, uint16_t remote_port, uint16_t local_port, uint8_t state) {
    Socket socket;
    socket.protocol = IPPROTO_TCP;
    socket.local = address(state == listening ? "0.0.0.0" : "10.0.0.2");
    socket.local_port = local_port;
    socket.remote = address(remote);
    socket.remote_port = remote_port;
    socket.state = state;
    socket.inode = inode;
    return socket;
}

const std::vector<Socket> sockets{tcp(100, "0.0.0.0", 0, 22, listening),
                                  tcp(101, "203.0.113.9", 50022, 22, established),
                                  tcp(102, "10.0.0.2", 50023, 22, established),
                                  tcp(103, "203.0.113.9", 443, 50024, established), // this host has opened it
                                  tcp(104, "203.0.113.9", 50025, 2222, established)};

Ancestor process(int pid, const char* name, uint64_t started, std::set<uint32_t> open = {}) {
    return {.pid = pid, .stat = {.name = name, .started = started}, .login = no_login_number, .sockets = open};
}
// kudo-agent, a shell, sshd's process of the user and the one above it, and the one that listens.
Ancestry over_ssh(uint32_t connection, uint64_t started) {
    return {.processes = {process(9, "kudo-agent", since + 9), process(8, "bash", since + 8),
                          process(7, "sshd", since + 7, {connection}), process(6, "sshd", started, {connection}),
                          process(2, "sshd", 1, {100})},
            .end = Ancestry::End::First};
}
// Of a login: kudo-agent and a shell on this terminal, and above them what has made it.
Ancestry by_login(std::optional<uint32_t> number, uint32_t terminal, const char* made_by, bool itself_in_it = true) {
    Ancestry ancestry{.processes = {process(9, "kudo-agent", since + 9), process(8, "bash", since + 8),
                                    process(7, made_by, 1), process(3, "daemon", 1)},
                      .end = Ancestry::End::First};
    for (Ancestor& ancestor : ancestry.processes)
        ancestor.login = number ? std::optional(no_login_number) : std::nullopt;
    for (std::size_t i = 0; i < 3; ++i) {
        if (i < 2) ancestry.processes[i].stat.terminal = terminal;
        if (number && (i < 2 || itself_in_it)) ancestry.processes[i].login = number;
    }
    return ancestry;
}

Arrival arrival(const Ancestry& ancestry, std::optional<uint32_t> last = 5) {
    return find_arrival(ancestry, sockets, since, last, [](const Address& it) { return it == address("10.0.0.2"); });
}
void expect_refused(const Ancestry& ancestry, const char* why, std::optional<uint32_t> last = 5) {
    const Arrival found = arrival(ancestry, last);
    EXPECT_EQ(found.by, "");
    EXPECT_NE(found.why_not.find(why), std::string::npos) << found.why_not;
    EXPECT_TRUE(found.why_not.starts_with("this ")) << found.why_not;
}

TEST(Arrival, AConnectionThatBeganSinceShowsIt) {
    EXPECT_EQ(arrival(over_ssh(101, since)).by, "a connection from 203.0.113.9");
}

TEST(Arrival, AnOlderConnectionDoesNot) {
    expect_refused(over_ssh(101, older), "older than"); // the one who logged in may have been slow, or have a second
}

TEST(Arrival, AProcessThatAServerOfBeforeHasDoesNot) {
    Ancestry ancestry = over_ssh(101, since);
    ancestry.processes.back().sockets = {{100, 104}}; // one process for all connections
    ancestry.processes.back().sockets->insert(101);
    expect_refused(ancestry, "older than");
}

TEST(Arrival, OneFromThisHostOrThatItHasOpenedDoesNot) {
    expect_refused(over_ssh(102, since), "from this host itself (10.0.0.2)");
    expect_refused(over_ssh(103, since), "no server takes new ones");
    expect_refused(over_ssh(104, since), "no server takes new ones");
}

TEST(Arrival, WhatOutlivedItsSessionDoesNot) {
    expect_refused({.processes = {process(9, "kudo-agent", since + 9)}, .end = Ancestry::End::First}, "on no login");
    expect_refused(
        {.processes = {process(9, "kudo-agent", since + 9), process(3, "cron", 1)}, .end = Ancestry::End::First},
        "outermost process: cron");
    expect_refused({.processes = {process(9, "kudo-agent", since + 9)}, .end = Ancestry::End::Outside}, "container");
}

TEST(Arrival, WhatCannotBeKnownDoesNot) {
    expect_refused({}, "not known");
    Ancestry ancestry = over_ssh(101, since);
    ancestry.end = Ancestry::End::Unknown;
    expect_refused(ancestry, "does not show all processes");
    ancestry = over_ssh(101, since);
    ancestry.processes[3].sockets.reset();
    expect_refused(ancestry, "process 6 (sshd) has open may not be read; root may");
    ancestry.processes[2].sockets.reset();
    expect_refused(ancestry, "may not be read; root may");
}

TEST(Arrival, ALoginThatTheKernelCountedSinceShowsIt) {
    EXPECT_EQ(arrival(by_login(6, console, "login")).by, "login 6");
    EXPECT_EQ(arrival(by_login(6, serial, "login")).by, "login 6");
    EXPECT_EQ(arrival(by_login(6, pty, "lightdm")).by, "login 6");
    expect_refused(by_login(5, console, "login"), "older than");
    expect_refused(by_login(6, console, "login"), "not all logins of then are known", std::nullopt);
    expect_refused(by_login(6, 0, "cron"), "no terminal, as those of cron and at");
    expect_refused(by_login(no_login_number, console, "login"), "on no login");
}

TEST(Arrival, ATerminalThatNoLoginProgramHasMadeDoesNot) {
    Ancestry ancestry = by_login(6, pty, "tmux: server");
    ancestry.processes.pop_back(); // tmux is a child of the first process
    expect_refused(ancestry, "tmux, mosh, machinectl and desktops");
    ancestry.processes[1].stat.terminal = console;
    EXPECT_EQ(arrival(ancestry).by, "login 6");
}

TEST(Arrival, WhereTheKernelCountsNoLoginsAConsoleShowsIt) {
    EXPECT_EQ(arrival(by_login(std::nullopt, serial, "login"), std::nullopt).by, "a login on a console");
    expect_refused(by_login(std::nullopt, pty, "login"), "on no login", std::nullopt);
    expect_refused(by_login(std::nullopt, serial, "openvt"), "on no login", std::nullopt);
    Ancestry ancestry = by_login(std::nullopt, serial, "login");
    ancestry.processes[1].stat.started = older;
    expect_refused(ancestry, "older than", std::nullopt);
}

class AncestryOfProc : public testing::Test {
protected:
    void process(int pid, int parent, uint64_t started, const char* login = nullptr) const {
        const auto folder = proc_ / std::to_string(pid);
        std::filesystem::create_directories(folder / "fd");
        std::string fields = fmt::format("{} (a (strange) name) S {} 0 0 34816", pid, parent);
        for (int field = 8; field < 22; ++field)
            fields += " 0";
        std::ofstream(folder / "stat") << fields << ' ' << started << " 0 0\n";
        if (login) std::ofstream(folder / "sessionid") << login;
    }
    const test::TemporaryFolder temporary_;
    const std::filesystem::path proc_ = temporary_.path();
    const int self_ = getpid();
};

TEST_F(AncestryOfProc, GoesUpToTheFirstProcess) {
    process(self_, 300, 90, "7");
    process(300, 1, 80, "7\n");
    std::filesystem::create_symlink("socket:[4711]", proc_ / "300" / "fd" / "3");
    std::filesystem::create_symlink("/dev/null", proc_ / "300" / "fd" / "4");
    const Ancestry ancestry = own_ancestry(proc_);
    EXPECT_EQ(ancestry.end, Ancestry::End::First);
    ASSERT_EQ(ancestry.processes.size(), 2U);
    const Ancestor& parent = ancestry.processes[1];
    EXPECT_EQ(parent.stat.name, "a (strange) name");
    EXPECT_EQ(parent.stat.started, 80 * ProcessStat::start_resolution);
    EXPECT_EQ(parent.stat.terminal, pty);
    EXPECT_EQ(parent.login, 7U);
    EXPECT_EQ(parent.sockets, std::set<uint32_t>{4711});
}

TEST_F(AncestryOfProc, EndsWhereAParentIsOutsideOrHasEnded) {
    process(self_, 0, 90);
    EXPECT_EQ(own_ancestry(proc_).end, Ancestry::End::Outside);
    process(self_, 300, 90);
    EXPECT_EQ(own_ancestry(proc_).end, Ancestry::End::Unknown);
    process(300, 1, 91); // another one by now
    EXPECT_EQ(own_ancestry(proc_).end, Ancestry::End::Unknown);
    EXPECT_EQ(own_ancestry(proc_ / "nothing").end, Ancestry::End::Unknown);
}

TEST_F(AncestryOfProc, TheLastLoginIsTheHighestOfAll) {
    process(1, 0, 0, "4294967295");
    EXPECT_EQ(last_login(proc_), 0U);
    process(300, 1, 80, "12");
    process(301, 1, 80, "9");
    EXPECT_EQ(last_login(proc_), 12U);
    process(302, 1, 80, "");
    EXPECT_FALSE(last_login(proc_));
    EXPECT_FALSE(last_login(proc_ / "nothing"));
}

} // namespace
} // namespace kudo
