// SPDX-License-Identifier: MIT
// An epoll, a timer, and a loop that runs handlers of readable descriptors.
// Invariant: handlers run one after the other in the thread that calls EventLoop::wait(); a handler never blocks.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>

#include <sys/epoll.h>

#include "agent/system/fd.h"
#include "maps/base/result.h"

namespace kudo {

class Epoll {
public:
    static Result<Epoll> create();
    [[nodiscard]] int fd() const { return fd_.get(); }
    // Level-triggered; replaces what was watched for on this descriptor. A closed descriptor leaves by itself.
    [[nodiscard]] Result<void> watch(int fd, uint32_t events) const;
    // Not watched any more, if it was. A child process may still have it: closing it is not enough then (epoll(7)).
    void leave(int fd) const { epoll_ctl(fd_.get(), EPOLL_CTL_DEL, fd, nullptr); }

private:
    explicit Epoll(Fd fd) : fd_(std::move(fd)) {}
    Fd fd_;
};

// Readable from its time on, until it is set again: it need not be read.
class Timer {
public:
    using Clock = std::chrono::steady_clock;
    static Result<Timer> create();
    [[nodiscard]] int fd() const { return fd_.get(); }
    void set(Clock::time_point when) const;

private:
    explicit Timer(Fd fd) : fd_(std::move(fd)) {}
    Fd fd_;
};

class EventLoop {
public:
    static Result<EventLoop> make();
    // `fd` stays the caller's. Level-triggered; a closed descriptor leaves by itself. `events`: of epoll_ctl(2).
    Result<void> watch(int fd, std::function<void()> on_readable, uint32_t events = EPOLLIN);
    // Its handler is not run any more, not even for what has been seen already, and wait() does not end for it. Call it
    // while the descriptor is open.
    void forget(int fd);
    // Waits for the first readable descriptors, at most until the deadline, and runs their handlers.
    Result<void> wait(std::chrono::steady_clock::time_point deadline);

private:
    explicit EventLoop(Epoll epoll) : epoll_(std::move(epoll)) {}

    Epoll epoll_;
    std::map<int, std::function<void()>> handlers_;
};

} // namespace kudo
