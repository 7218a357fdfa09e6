// SPDX-License-Identifier: MIT
#include "tests/support/running_service.h"

#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <stdexcept>

namespace kudo::test {

RunningService::RunningService(const TestHost& test, std::vector<std::string> arguments,
                               std::vector<std::string> environment, const std::vector<std::string>& wrapper) {
    static std::atomic<unsigned> number = 0;
    folder_ = test.folder + "/service-" + std::to_string(number++);
    std::filesystem::create_directory(folder_);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    const std::string path = folder_ + "/notify";
    if (path.size() >= sizeof address.sun_path) throw std::runtime_error("the folder's name is too long for a socket");
    std::memcpy(address.sun_path, path.data(), path.size());
    notify_ = Fd(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (bind(notify_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
        throw std::runtime_error("cannot make a notify socket");
    // The service may run as a user of its own; systemd's socket is everybody's.
    std::filesystem::permissions(folder_, std::filesystem::perms(0711));
    std::filesystem::permissions(path, std::filesystem::perms(0777));

    if (std::erase(arguments, resolves_names) == 0) arguments.emplace_back("--no-resolve-names");
    arguments.insert(arguments.begin(), "run");
    std::vector<std::string> argv = {"env", "NOTIFY_SOCKET=" + path};
    if (std::getenv("KUDO_TEST_VERBOSE")) arguments.push_back("-v");
    // A shell's redirection, so that the log of a service that was killed is there too.
    argv.insert(argv.end(), {"sh", "-c", "log=$1; shift; exec \"$@\" >\"$log\" 2>&1", "sh", folder_ + "/log"});
    argv.insert(argv.end(), wrapper.begin(), wrapper.end());
    if (wrapper.empty() && std::getenv("KUDO_TEST_AS_UNIT"))
        argv.insert(argv.end(), {KUDO_AS_UNIT, KUDO_UNIT, test.folder});
    argv.emplace_back("env");
    argv.insert(argv.end(), environment.begin(), environment.end());
    for (const std::string& argument : test.agent_argv(arguments))
        argv.push_back(argument);
    pid_ = inside<int>(test.host, [&] { return start_program(argv); });
    wait_until_ready();
}

RunningService::~RunningService() {
    if (pid_ < 0) return;
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
}

bool RunningService::has_looked(int times) {
    const auto looks = [&] {
        const auto all = notifications();
        return std::ranges::count(all, "WATCHDOG=1");
    };
    const auto enough = looks() + times;
    return eventually([&] { return looks() >= enough; }, std::chrono::minutes(1));
}

void RunningService::wait_until_ready() {
    const auto is_ready = [&] {
        const auto said = notifications();
        return std::ranges::find(said, "READY=1") != said.end();
    };
    if (!eventually(is_ready, std::chrono::seconds(20))) throw std::runtime_error("the service is not ready: " + log());
}

bool RunningService::is_running() const {
    siginfo_t about{};
    return waitid(P_PID, static_cast<id_t>(pid_), &about, WEXITED | WNOHANG | WNOWAIT) == 0 && about.si_pid == 0;
}

void RunningService::signal(int number) const {
    kill(pid_, number);
}

int RunningService::wait() {
    int status = 0;
    const auto has_ended = [&] { return waitpid(pid_, &status, WNOHANG) == pid_; };
    if (!eventually(has_ended, std::chrono::seconds(20))) return -1;
    pid_ = -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

std::vector<std::string> RunningService::notifications() {
    char buffer[4096];
    for (ssize_t got; (got = recv(notify_.get(), buffer, sizeof buffer, 0)) >= 0;) {
        std::istringstream lines(std::string(buffer, static_cast<std::size_t>(got)));
        for (std::string line; std::getline(lines, line);)
            notifications_.push_back(line);
    }
    return notifications_;
}

std::string RunningService::log() const {
    std::ifstream file(folder_ + "/log");
    return {std::istreambuf_iterator<char>(file), {}};
}

} // namespace kudo::test
