// SPDX-License-Identifier: MIT
// One epoll and what is to be done for each descriptor. Included by the service.
// Invariant: handlers run one after the other in the thread that calls wait(); a handler never waits.
#pragma once

#include <chrono>
#include <functional>
#include <map>

#include "agent/source_fds.h"
#include "maps/result.h"

namespace kudo {

class EventLoop {
public:
    static Result<EventLoop> make();
    // `fd` stays the caller's and open while the loop lives. Level-triggered.
    Result<void> watch(int fd, std::function<void()> on_readable);
    // Waits for the first readable descriptors, at most until the deadline, and runs their handlers.
    Result<void> wait(std::chrono::steady_clock::time_point deadline);

private:
    explicit EventLoop(Epoll epoll) : epoll_(std::move(epoll)) {}

    Epoll epoll_;
    std::map<int, std::function<void()>> handlers_;
};

} // namespace kudo
