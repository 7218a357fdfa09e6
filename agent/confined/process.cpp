// SPDX-License-Identifier: MIT
#include "agent/confined/process.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstring>
#include <stdexcept>
#include <vector>

#include <fmt/format.h>

namespace kudo {
namespace {

constexpr int exit_not_confined = 71; // EX_OSERR of sysexits.h
constexpr int own_socket = STDERR_FILENO + 1;
static_assert(ConfinedProcess::first_more_fd == own_socket + 1);

// What answers a person is behind everything else of the host.
void lower_priority() {
    constexpr int by = 10;
    [[maybe_unused]] const int priority = nice(by);
}

// Where memory is short this process is the one to go, not the service (proc(5)). Only a dumpable process may say so.
void be_the_first_to_go() {
    prctl(PR_SET_DUMPABLE, 1);
    const Fd score(open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC));
    [[maybe_unused]] const bool set = score && write(score.get(), "1000", 4) == 4;
}

// Of the parent's descriptors it has none but these, from own_socket on, and where it logs.
void keep_only(const std::vector<int>& wanted) {
    const int behind = own_socket + static_cast<int>(wanted.size());
    std::vector<int> out_of_the_way;
    for (const int fd : wanted)
        out_of_the_way.push_back(fcntl(fd, F_DUPFD, behind));
    for (std::size_t i = 0; i < wanted.size(); i++) {
        const int place = own_socket + static_cast<int>(i);
        if (wanted[i] < 0)
            close(place); // not what the parent has there
        else if (dup3(out_of_the_way[i], place, O_CLOEXEC) < 0)
            _exit(exit_not_confined);
    }
    if (close_range(static_cast<unsigned>(behind), ~0U, 0) != 0) // from Linux 5.9
        for (int fd = behind; fd < 65536; fd++)
            close(fd);
    close(STDIN_FILENO);
    open("/dev/null", O_RDONLY | O_CLOEXEC);
}

[[noreturn]] void run_child(pid_t parent, const std::vector<int>& descriptors, Confinement confinement,
                            const std::function<void(int)>& work) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) _exit(exit_not_confined);
    if (confinement == Confinement::Reading) { // before it may not
        lower_priority();
        be_the_first_to_go();
    }
    prctl(PR_SET_DUMPABLE, 0);
    keep_only(descriptors);
    if (const auto confined = confine(confinement); !confined) {
        dprintf(STDERR_FILENO, "kudo-agent: a process that reads what others sent: %s\n",
                confined.error().message.c_str());
        _exit(exit_not_confined);
    }
    try {
        work(own_socket);
    } catch (const std::exception&) {
        _exit(1);
    }
    _exit(0);
}

Result<pid_t> fork_child(const std::vector<int>& descriptors, Confinement confinement,
                         const std::function<void(int)>& work) {
    const pid_t parent = getpid();
    const pid_t pid = fork();
    if (pid < 0) return fail_errno("cannot start a process");
    if (pid == 0) run_child(parent, descriptors, confinement, work);
    return pid;
}

Result<void> write_all(int socket, std::string_view text) {
    while (!text.empty()) {
        const ssize_t written = write(socket, text.data(), text.size());
        if (written < 0 && errno == EINTR) continue;
        if (written <= 0) return fail_errno("write");
        text.remove_prefix(static_cast<std::size_t>(written));
    }
    return {};
}

} // namespace

Result<ConfinedProcess> ConfinedProcess::start(Confinement confinement, const std::function<void(int)>& work,
                                               std::span<const int> more) {
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) return fail_errno("cannot make a socket");
    Fd near(ends[0]), far(ends[1]);
    fcntl(near.get(), F_SETFL, O_NONBLOCK);
    std::vector<int> descriptors{far.get()};
    descriptors.insert(descriptors.end(), more.begin(), more.end());
    const pid_t pid = KUDO_TRY(fork_child(descriptors, confinement, work));
    return ConfinedProcess(pid, std::move(near));
}

Result<ConfinedProcess> ConfinedProcess::start(Confinement confinement, Fd connection,
                                               const std::function<void(int)>& work) {
    const pid_t pid = KUDO_TRY(fork_child({connection.get()}, confinement, work));
    return ConfinedProcess(pid, std::move(connection));
}

ConfinedProcess::~ConfinedProcess() {
    end();
}

std::string ConfinedProcess::end() {
    if (pid_ <= 0) return "has ended";
    kill(pid_, SIGKILL);
    int status = 0;
    while (waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
    }
    pid_ = -1;
    socket_ = Fd();
    if (WIFSIGNALED(status))
        return fmt::format("ended by signal {} ({})", WTERMSIG(status), strsignal(WTERMSIG(status)));
    if (WEXITSTATUS(status) == exit_not_confined) return "could not give up its privileges";
    return fmt::format("ended with status {}", WEXITSTATUS(status));
}

Result<std::string> compute_confined(const std::function<std::string()>& work, std::size_t limit,
                                     std::chrono::milliseconds timeout) {
    auto child = KUDO_TRY(ConfinedProcess::start(Confinement::Compute, [&](int socket) {
        // An end of its own, so that a process that was killed is not taken for one that is done.
        if (!write_all(socket, work() + '.')) throw std::runtime_error("write");
    }));
    const auto deadline = std::chrono::steady_clock::now() + timeout;
    std::string output;
    while (true) {
        const auto left =
            std::chrono::duration_cast<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
        pollfd waits{child.socket(), POLLIN, 0};
        if (left.count() <= 0 || poll(&waits, 1, static_cast<int>(left.count())) == 0)
            return fail("a process that reads what others sent did not end in time");
        char buffer[16384];
        const ssize_t got = read(child.socket(), buffer, sizeof buffer);
        if (got < 0 && (errno == EINTR || errno == EAGAIN)) continue;
        if (got <= 0) break;
        output.append(buffer, static_cast<std::size_t>(got));
        if (output.size() > limit + 1) return fail("a process that reads what others sent has told too much");
    }
    if (!output.ends_with('.')) {
        return fail("a process that reads what others sent " + child.end());
    }
    output.pop_back();
    return output;
}

} // namespace kudo
