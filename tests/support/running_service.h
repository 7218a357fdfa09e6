// SPDX-License-Identifier: MIT
// `kudo-agent run` as a child process of a test.
// Invariant: it is gone when the object is, however the test ends.
#pragma once

#include <chrono>
#include <string>
#include <thread>
#include <vector>

#include "agent/system/fd.h"
#include "tests/support/patience.h"
#include "tests/support/test_host.h"

namespace kudo::test {

class RunningService {
public:
    // Starts it in the test's host with these arguments behind "run", and waits until it says READY=1 (at most 20 s;
    // throws with its log if it does not). It sends no queries of its own unless `resolves_names` is among them.
    // `environment`: "NAME=value". `wrapper`: what the program is run by.
    RunningService(const TestHost& test, std::vector<std::string> arguments, std::vector<std::string> environment = {},
                   const std::vector<std::string>& wrapper = {});
    static constexpr const char* resolves_names = "resolves names";
    RunningService(const RunningService&) = delete;
    RunningService& operator=(const RunningService&) = delete;
    ~RunningService(); // kill -9

    [[nodiscard]] int pid() const { return pid_; }
    [[nodiscard]] bool is_running() const;
    void signal(int number) const;
    // Waits for its end and returns the exit status, or 128 + signal; -1 after 20 s.
    int wait();
    // Everything that it has told systemd so far: "READY=1", "STATUS=..." and so on.
    std::vector<std::string> notifications();
    // Until its loop has been round this many times more: at least every --reconcile-every it looks at all there is.
    // False: it has not within a minute, or was started without this in its environment.
    static constexpr const char* tells_of_its_rounds = "WATCHDOG_USEC=3600000000";
    [[nodiscard]] bool has_looked(int times);
    [[nodiscard]] std::string log() const;

private:
    void wait_until_ready();

    std::string folder_;
    Fd notify_;
    std::vector<std::string> notifications_;
    int pid_ = -1;
};

// Looks every 20 ms until `condition` holds, at most `timeout`, which is long: the machine may be busy. False: it never
// did.
template <typename Condition>
bool eventually(Condition condition, std::chrono::milliseconds timeout = std::chrono::seconds(30));

} // namespace kudo::test

template <typename Condition> bool kudo::test::eventually(Condition condition, std::chrono::milliseconds timeout) {
    const auto deadline = std::chrono::steady_clock::now() + patient(timeout);
    while (!condition()) {
        if (std::chrono::steady_clock::now() > deadline) return false;
        std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
    return true;
}
