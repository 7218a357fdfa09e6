// SPDX-License-Identifier: MIT
// What the service may do, and what the processes that read bytes of others may.
// Invariant: read from /proc, and tried out; a process that must not do something has really tried to.
#include <gtest/gtest.h>

#include <fcntl.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <csignal>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <thread>

#include "agent/confined/process.h"
#include "tests/support/host_test.h"
#include "tests/support/minisign_key.h"
#include "tests/support/running_service.h"

namespace kudo::test {
namespace {

constexpr const char* of_the_service = "000000c000001000"; // CAP_NET_ADMIN, CAP_PERFMON, CAP_BPF: bits 12, 38, 39
constexpr const char* none = "0000000000000000";

std::string status_of(int pid, const std::string& field) {
    std::ifstream file("/proc/" + std::to_string(pid) + "/status");
    std::string name, value;
    while (file >> name && std::getline(file, value))
        if (name == field + ":") return value.substr(value.find_first_not_of(" \t"));
    return "no such process";
}

std::vector<int> children_of(int pid) {
    const std::string process = std::to_string(pid);
    std::ifstream file("/proc/" + process + "/task/" + process + "/children");
    std::vector<int> children;
    for (int child = 0; file >> child;)
        children.push_back(child);
    return children;
}

class ConfinedService : public HostTest {
protected:
    void SetUp() override {
        HostTest::SetUp();
        if (!test_) return;
        key_.emplace(test_->folder + "/keys", "publisher");
        std::filesystem::create_directory(test_->folder + "/drop");
        ASSERT_EQ(test_->agent({"enable", "--region", "ca"}).status, 0);
    }
    [[nodiscard]] std::vector<std::string> arguments() const {
        return {"--keys", test_->folder + "/keys", "--drop-folder", test_->folder + "/drop", "--reconcile-every", "1s"};
    }
    void drop_map(unsigned serial) const {
        const std::string file =
            test_->write_file("new.json", R"({"format": "kudo-range-map/1", "serial": )" + std::to_string(serial) + R"(,
 "issued": "2022-03-01T00:00:00Z", "effective": "2022-03-01T00:00:00Z", "expires": null, "overrides": ["shrink"],
 "services": [{"name": "media", "class": "media", "regions": ["ca"], "ports": ["udp/3478"],
 "ipv4": ["3.123.12.128/28"]}]})");
        key_->sign(file);
        for (const char* suffix : {".minisig", ""})
            std::filesystem::copy_file(file + suffix, test_->folder + "/drop/new.json" + suffix,
                                       std::filesystem::copy_options::overwrite_existing);
    }
    [[nodiscard]] bool has_taken(unsigned serial) const {
        return eventually([&] { return test_->status().at("map").at("serial") == serial; });
    }
    std::optional<MinisignKey> key_;
};

TEST_F(ConfinedService, KeepsThreeCapabilitiesAndItsSourcesNone) {
    const RunningService service(*test_, arguments());
    for (const char* set : {"CapEff", "CapPrm", "CapBnd"})
        EXPECT_EQ(status_of(service.pid(), set), of_the_service) << set;
    EXPECT_EQ(status_of(service.pid(), "CapInh"), none);
    EXPECT_EQ(status_of(service.pid(), "NoNewPrivs"), "1");
    EXPECT_EQ(status_of(service.pid(), "Seccomp"), "2");
    const auto children = children_of(service.pid());
    ASSERT_EQ(children.size(), 1u);
    for (const char* set : {"CapEff", "CapPrm", "CapInh", "CapAmb"})
        EXPECT_EQ(status_of(children[0], set), none) << set;
    EXPECT_EQ(status_of(children[0], "NoNewPrivs"), "1");
    EXPECT_EQ(status_of(children[0], "Seccomp"), "2");
    const auto files = std::filesystem::directory_iterator("/proc/" + std::to_string(children[0]) + "/fd");
    for (const auto& file : files) {
        std::error_code error;
        const std::string target = std::filesystem::read_symlink(file, error);
        EXPECT_EQ(target.find(test_->instance.state_dir.string()), std::string::npos) << target << ": a lock";
        EXPECT_EQ(target.find("bpf"), std::string::npos) << target;
    }
    drop_map(2022050002);
    EXPECT_TRUE(has_taken(2022050002)) << service.log();
}

TEST_F(ConfinedService, ASourceThatIsKilledEndsNothingElseAndComesBack) {
    RunningService service(*test_, arguments());
    const auto first = children_of(service.pid());
    ASSERT_EQ(first.size(), 1u);
    ASSERT_EQ(kill(first[0], SIGSYS), 0);
    ASSERT_TRUE(eventually([&] {
        const auto now = children_of(service.pid());
        return now.size() == 1 && now != first;
    })) << service.log();
    EXPECT_NE(service.log().find("its process ended by signal 31"), std::string::npos) << service.log();
    EXPECT_TRUE(service.is_running());
    drop_map(2022050003);
    EXPECT_TRUE(has_taken(2022050003)) << service.log();
    EXPECT_EQ(test_->agent({"status"}).status, 0);
    const auto second = children_of(service.pid());
    ASSERT_EQ(second.size(), 1u);
    service.signal(SIGKILL);
    service.wait();
    EXPECT_TRUE(eventually([&] { return kill(second[0], 0) != 0; })) << "it has outlived the service";
}

TEST_F(ConfinedService, RunsAsAUserOfItsOwnBesideRootsCommands) {
    for (const std::string& folder :
         {test_->folder, test_->folder + "/keys", test_->folder + "/drop", test_->instance.bpffs.string()})
        std::filesystem::permissions(folder, std::filesystem::perms::others_exec | std::filesystem::perms::others_read,
                                     std::filesystem::perm_options::add);
    std::vector<std::string> run{"run", "--user", "nobody"};
    for (const std::string& argument : arguments())
        run.push_back(argument);
    const int service = inside<int>(test_->host, [&] { return start_program(test_->agent_argv(run)); });
    EXPECT_TRUE(eventually([&] { return !children_of(service).empty(); }));
    EXPECT_EQ(status_of(service, "Uid"), "65534\t65534\t65534\t65534");
    EXPECT_EQ(status_of(service, "CapEff"), of_the_service);
    drop_map(2022050002);
    EXPECT_TRUE(has_taken(2022050002));
    // What root makes is the service's as well.
    ASSERT_EQ(test_->agent({"enable", "--region", "ca"}).status, 0);
    drop_map(2022050003);
    EXPECT_TRUE(has_taken(2022050003));
    EXPECT_EQ(test_->agent({"status"}).status, 0);
    kill(service, SIGKILL);
    waitpid(service, nullptr, 0);
    EXPECT_EQ(test_->agent({"disable"}).status, 0);
    EXPECT_EQ(test_->agent({"run", "--user", "nobody-of-that-name"}).status, 2);
}

TEST_F(ConfinedService, FollowsNoLinkInThePlaceOfItsFiles) {
    const auto state = test_->instance.state_dir / "state.json";
    std::filesystem::rename(state, test_->folder + "/elsewhere.json");
    std::filesystem::create_symlink(test_->folder + "/elsewhere.json", state);
    const Outcome status = test_->agent({"status"});
    EXPECT_EQ(status.status, 2);
    EXPECT_NE(status.err.find("state.json: a symbolic link"), std::string::npos) << status.err;
    EXPECT_EQ(test_->agent({"disable"}).status, 0);
    EXPECT_TRUE(std::filesystem::exists(test_->folder + "/elsewhere.json"));
}

// How a process ends that does this.
std::string end_of(Confinement confinement, const std::function<void()>& forbidden) {
    auto started = ConfinedProcess::start(confinement, [&](int socket) {
        forbidden();
        [[maybe_unused]] const auto written = write(socket, "survived", 8);
    });
    if (!started) return started.error().message;
    std::string output;
    pollfd waits{started->socket(), POLLIN, 0};
    while (poll(&waits, 1, 10'000) == 1) {
        char buffer[64];
        const ssize_t got = read(started->socket(), buffer, sizeof buffer);
        if (got <= 0) break;
        output.append(buffer, static_cast<std::size_t>(got));
    }
    return output + started->end();
}

TEST(ConfinedProcess, EndsAtASystemCallThatIsForbidden) {
    const std::string dies = "ended by signal 31 (Bad system call)";
    using Try = std::pair<const char*, std::function<void()>>;
    const std::vector<Try> both{
        {"fork", [] { fork(); }},
        {"exec", [] { execl("/bin/true", "true", nullptr); }},
        {"ptrace", [] { syscall(SYS_ptrace, 16, getppid(), 0, 0); }},
        {"kill", [] { kill(getppid(), 0); }},
        {"bpf", [] { syscall(SYS_bpf, 0, nullptr, 0); }},
        {"mount", [] { mount("x", "/", "tmpfs", 0, nullptr); }},
        {"unshare", [] { syscall(SYS_unshare, 0x10000000); }},
        {"unlink", [] { unlink("/tmp/kudo-no-such-file"); }},
        {"setuid", [] { syscall(SYS_setuid, 0); }},
        {"packet socket", [] { socket(AF_PACKET, SOCK_RAW, 0); }},
        {"memory to write and execute",
         [] { static_cast<void>(mmap(nullptr, 4096, PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)); }},
    };
    for (const auto& [name, forbidden] : both)
        for (const Confinement confinement : {Confinement::Network, Confinement::Compute})
            EXPECT_EQ(end_of(confinement, forbidden), dies) << name;
    EXPECT_EQ(end_of(Confinement::Compute, [] { socket(AF_INET, SOCK_STREAM, 0); }), dies);
    EXPECT_EQ(end_of(Confinement::Compute, [] { open("/etc/passwd", O_RDONLY); }), dies);
    EXPECT_EQ(end_of(Confinement::Compute, [] {}).substr(0, 8), "survived");
}

TEST(ConfinedProcess, ReadsFilesAndConnectsButWritesNoFile) {
    const std::string end = end_of(Confinement::Network, [] {
        if (open("/etc/passwd", O_RDONLY) < 0 || socket(AF_INET, SOCK_STREAM, 0) < 0) _exit(3);
        if (open("/tmp/kudo-confined", O_WRONLY) >= 0 || errno != EACCES) _exit(4);
        if (open("/dev/null", O_RDWR) >= 0 || errno != EACCES) _exit(5);
        std::thread([] {}).join();
    });
    EXPECT_EQ(end.substr(0, 8), "survived") << end;
    EXPECT_EQ(end_of(Confinement::Network, [] { open("/tmp/kudo-confined", O_WRONLY | O_CREAT, 0600); }).substr(0, 8),
              "survived");
    EXPECT_FALSE(std::filesystem::exists("/tmp/kudo-confined"));
}

// What answers a person keeps the service's capabilities and user.
TEST(ConfinedProcess, WhatAnswersChangesNothing) {
    struct Try {
        const char* name;
        std::function<long()> change;
        int error = EPERM;
    };
    rlimit limit{};
    getrlimit(RLIMIT_NOFILE, &limit);
    ifreq interface {};
    std::strcpy(interface.ifr_name, "lo");
    const auto by_ioctl = [&](unsigned long request) {
        const Fd socket_(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
        return long{ioctl(socket_.get(), request, &interface)};
    };
    const std::vector<Try> tries{
        {"signal to the service", [] { return long{kill(getppid(), 0)}; }},
        {"signal to its group", [] { return long{kill(0, 0)}; }},
        {"signal to all", [] { return long{kill(-1, 0)}; }},
        {"signals of a socket", [] { return long{fcntl(STDERR_FILENO + 1, F_SETOWN, getppid())}; }},
        {"their number", [] { return long{fcntl(STDERR_FILENO + 1, F_SETSIG, SIGKILL)}; }},
        {"signal to a group", [] { return long{kill(-getpgrp(), 0)}; }},
        {"signal with upper bits", [] { return syscall(SYS_kill, 1L << 32 | getppid(), 0); }},
        {"signal to a thread of it", [] { return syscall(SYS_tgkill, getppid(), getppid(), 0); }},
        {"signal to a thread", [] { return syscall(SYS_tkill, getppid(), 0); }},
        {"queued signal", [] { return syscall(SYS_rt_sigqueueinfo, getppid(), 0, nullptr); }},
        {"limit", [&] { return long{prlimit(getppid(), RLIMIT_NOFILE, &limit, nullptr)}; }},
        {"priority", [] { return long{setpriority(PRIO_PROCESS, static_cast<id_t>(getppid()), 0)}; }},
        {"file's mode", [] { return long{chmod("/tmp/kudo-no-such-file", 0700)}; }},
        {"file's mode by fchmodat2", [] { return syscall(452, AT_FDCWD, "/tmp/kudo-no-such-file", 0700, 0); }},
        {"file's attribute", [] { return syscall(463, AT_FDCWD, "/tmp/kudo-no-such-file", 0, "user.x", nullptr, 0); }},
        {"file's end", [] { return long{unlink("/tmp/kudo-no-such-file")}; }},
        {"file", [] { return long{open("/tmp/kudo-confined", O_WRONLY | O_CREAT, 0600)}; }, EACCES},
        {"map", [] { return syscall(SYS_bpf, 0 /* BPF_MAP_CREATE */, nullptr, 0); }},
        {"interface", [&] { return by_ioctl(SIOCSIFFLAGS); }},
        {"neighbour", [&] { return by_ioctl(SIOCDARP); }},
        {"driver", [&] { return by_ioctl(SIOCETHTOOL); }},
        {"bridge", [&] { return by_ioctl(SIOCBRADDIF); }},
        {"bond", [&] { return by_ioctl(0x8990 /* SIOCBONDENSLAVE */); }},
        {"tunnel", [&] { return by_ioctl(SIOCDEVPRIVATE + 1 /* SIOCADDTUNNEL */); }},
        {"iptables",
         [] {
             const Fd socket_(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
             return long{setsockopt(socket_.get(), SOL_IP, 64 /* IPT_SO_SET_REPLACE */, "", 0)};
         }},
        {"another's memory", [] { return syscall(SYS_ptrace, 16, getppid(), 0, 0); }},
    };
    const std::string end = end_of(Confinement::Reading, [&] {
        for (std::size_t i = 0; i < tries.size(); i++)
            if (tries[i].change() >= 0 || errno != tries[i].error) _exit(static_cast<int>(10 + i));
        rlimit own{};
        if (getrlimit(RLIMIT_NOFILE, &own) != 0 || by_ioctl(SIOCGIFFLAGS) != 0) _exit(3); // what reads goes on
        if (getpriority(PRIO_PROCESS, 0) <= 0) _exit(4); // behind everything else of the host
    });
    for (std::size_t i = 0; i < tries.size(); i++)
        EXPECT_NE(end, "ended with status " + std::to_string(10 + i)) << tries[i].name;
    EXPECT_EQ(end.substr(0, 8), "survived") << end;
}

TEST(ConfinedProcess, ComputesAndTellsHowItEnded) {
    EXPECT_EQ(compute_confined([] { return std::string(100'000, 'x'); }).value().size(), 100'000u);
    EXPECT_NE(compute_confined([]() -> std::string {
                  kill(getppid(), 0);
                  return "";
              })
                  .error()
                  .message.find("signal 31"),
              std::string::npos);
    EXPECT_FALSE(compute_confined([] { return std::string(1000, 'x'); }, 100));
    EXPECT_FALSE(compute_confined(
        []() -> std::string {
            for (volatile unsigned spin = 0;; spin = spin + 1) {
            }
        },
        100, std::chrono::milliseconds(200)));
}

} // namespace
} // namespace kudo::test
