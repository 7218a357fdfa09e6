// SPDX-License-Identifier: MIT
// The descriptors that a source is made of: an epoll that stands for several, and a timer. Included by the sources.
// Invariant: nothing here ever waits.
#pragma once

#include <chrono>
#include <cstdint>
#include <span>

#include <sys/epoll.h>

#include "agent/fd.h"
#include "maps/result.h"

namespace kudo {

class Epoll {
public:
    static Result<Epoll> create();
    [[nodiscard]] int fd() const { return fd_.get(); }
    // Level-triggered; replaces what was watched for on this descriptor. A closed descriptor leaves by itself.
    [[nodiscard]] Result<void> watch(int fd, uint32_t events) const;
    void forget(int fd) const;
    // Those of `room` that are filled; the rest is still there the next time.
    [[nodiscard]] std::span<epoll_event> ready(std::span<epoll_event> room) const;

private:
    explicit Epoll(Fd fd) : fd_(std::move(fd)) {}
    Fd fd_;
};

// Readable from its time on, until it is set anew or stopped: it need not be read.
class Timer {
public:
    using Clock = std::chrono::steady_clock;
    static Result<Timer> create();
    [[nodiscard]] int fd() const { return fd_.get(); }
    void set(Clock::time_point when) const;
    void stop() const;

private:
    explicit Timer(Fd fd) : fd_(std::move(fd)) {}
    Fd fd_;
};

} // namespace kudo
