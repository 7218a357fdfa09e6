// SPDX-License-Identifier: MIT
#include "tests/support/process.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <fstream>
#include <stdexcept>

#include "agent/system/fd.h"
#include "tests/support/patience.h"

namespace kudo::test {

namespace {

int spawn(std::vector<std::string> argv, int out, int err) {
    std::vector<char*> words;
    for (std::string& word : argv)
        words.push_back(word.data());
    words.push_back(nullptr);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&actions, out, 1);
    posix_spawn_file_actions_adddup2(&actions, err, 2);
    pid_t child = -1;
    const int error = posix_spawnp(&child, words[0], &actions, nullptr, words.data(), environ);
    posix_spawn_file_actions_destroy(&actions);
    if (error != 0) throw std::runtime_error("cannot run " + argv[0]);
    return child;
}

} // namespace

int start_program(const std::vector<std::string>& argv) {
    const Fd null(open("/dev/null", O_WRONLY | O_CLOEXEC));
    return spawn(argv, null.get(), null.get());
}

Outcome run_program(const std::vector<std::string>& argv, std::chrono::seconds timeout) {
    std::array<Fd, 2> readers;
    std::array<Fd, 2> writers;
    for (std::size_t i = 0; i < 2; i++) {
        int ends[2];
        if (pipe2(ends, O_CLOEXEC) != 0) throw std::runtime_error("pipe2");
        readers[i] = Fd(ends[0]);
        writers[i] = Fd(ends[1]);
    }
    const pid_t child = spawn(argv, writers[0].get(), writers[1].get());
    writers = {};

    Outcome outcome;
    std::array<std::string*, 2> texts{&outcome.out, &outcome.err};
    std::array<bool, 2> open_ends{true, true};
    const auto deadline = std::chrono::steady_clock::now() + patient(timeout);
    bool killed = false;
    while (open_ends[0] || open_ends[1]) {
        std::array<pollfd, 2> waits{};
        for (std::size_t i = 0; i < 2; i++)
            waits[i] = {open_ends[i] ? readers[i].get() : -1, POLLIN, 0};
        poll(waits.data(), waits.size(), 100);
        for (std::size_t i = 0; i < 2; i++) {
            if (waits[i].revents == 0) continue;
            char buffer[65536];
            const ssize_t got = read(readers[i].get(), buffer, sizeof buffer);
            if (got > 0)
                texts[i]->append(buffer, static_cast<std::size_t>(got));
            else
                open_ends[i] = false;
        }
        if (!killed && std::chrono::steady_clock::now() > deadline) {
            kill(child, SIGKILL);
            killed = true;
        }
    }
    int status = 0;
    waitpid(child, &status, 0);
    if (!killed) outcome.status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    return outcome;
}

double cpu_seconds(int pid) {
    std::ifstream file("/proc/" + std::to_string(pid) + "/stat");
    std::string field;
    std::getline(file, field, ')'); // a name may have spaces
    double ticks = 0;
    for (int number = 3; file >> field && number <= 15; number++)
        if (number >= 14) ticks += std::stod(field);
    return ticks / static_cast<double>(sysconf(_SC_CLK_TCK));
}

} // namespace kudo::test
