// SPDX-License-Identifier: MIT
#include "agent/firewall/program.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>

#include "agent/system/fd.h"
#include "maps/base/text.h"

namespace kudo::firewall {
namespace {

constexpr std::size_t max_output = std::size_t{64} << 20;

struct Pipe {
    Fd read, write;
};

Result<Pipe> make_pipe() {
    int fds[2];
    if (pipe2(fds, O_CLOEXEC) != 0) return fail_errno("cannot make a pipe");
    return Pipe{Fd(fds[0]), Fd(fds[1])};
}

// False: no more is to come.
bool read_some(const Fd& from, std::string& into) {
    char buffer[65536];
    const ssize_t size = ::read(from.get(), buffer, sizeof buffer);
    if (size > 0) into.append(buffer, static_cast<std::size_t>(size));
    return size > 0 || (size < 0 && errno == EINTR);
}

} // namespace

Result<std::string> output_of(const std::vector<std::string>& argv, std::chrono::milliseconds timeout) {
    auto out = KUDO_TRY(make_pipe());
    auto err = KUDO_TRY(make_pipe());
    std::vector<char*> arguments;
    std::ranges::transform(argv, std::back_inserter(arguments),
                           [](const std::string& text) { return const_cast<char*>(text.c_str()); });
    arguments.push_back(nullptr);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&actions, out.write.get(), STDOUT_FILENO);
    posix_spawn_file_actions_adddup2(&actions, err.write.get(), STDERR_FILENO);
    pid_t pid = 0;
    const int error = posix_spawnp(&pid, arguments[0], &actions, nullptr, arguments.data(), environ);
    posix_spawn_file_actions_destroy(&actions);
    if (error != 0) return fail_errno("cannot run " + argv[0], error);
    out.write = Fd();
    err.write = Fd();

    std::string output, words;
    const auto deadline = std::chrono::steady_clock::now() + timeout;
    pollfd waits[] = {{out.read.get(), POLLIN, 0}, {err.read.get(), POLLIN, 0}};
    bool in_time = true;
    while (in_time && (waits[0].fd >= 0 || waits[1].fd >= 0)) {
        const auto left =
            std::chrono::duration_cast<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
        in_time = left.count() > 0 && output.size() + words.size() < max_output;
        if (!in_time || poll(waits, 2, static_cast<int>(left.count())) <= 0) continue;
        if (waits[0].revents && !read_some(out.read, output)) waits[0].fd = -1;
        if (waits[1].revents && !read_some(err.read, words)) waits[1].fd = -1;
    }
    // What may not end it leaves it behind: it ends when nobody takes its output.
    if (!in_time && kill(pid, SIGKILL) != 0) return fail(argv[0] + " did not end in time");
    int status = 0;
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
    if (!in_time) return fail(argv[0] + " did not end in time");
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        return fail(argv[0] + ": " + escaped(std::string_view(words).substr(0, words.find('\n')), 160));
    return output;
}

} // namespace kudo::firewall
