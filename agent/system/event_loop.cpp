// SPDX-License-Identifier: MIT
#include "agent/system/event_loop.h"

#include <sys/timerfd.h>

#include <algorithm>
#include <array>

namespace kudo {

Result<Epoll> Epoll::create() {
    Fd fd(epoll_create1(EPOLL_CLOEXEC));
    if (!fd) return fail_errno("cannot create an epoll");
    return Epoll(std::move(fd));
}

Result<void> Epoll::watch(int fd, uint32_t events) const {
    epoll_event event{};
    event.events = events;
    event.data.fd = fd;
    if (epoll_ctl(fd_.get(), EPOLL_CTL_MOD, fd, &event) == 0) return {};
    if (errno != ENOENT || epoll_ctl(fd_.get(), EPOLL_CTL_ADD, fd, &event) != 0)
        return fail_errno("cannot watch a descriptor");
    return {};
}

Result<Timer> Timer::create() {
    // The clock of std::chrono::steady_clock.
    Fd fd(timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK));
    if (!fd) return fail_errno("cannot create a timer");
    return Timer(std::move(fd));
}

void Timer::set(Clock::time_point when) const {
    // From now on: the clock of a process under test is not the kernel's. 0 would disarm it.
    const int64_t ns = std::max<int64_t>(std::chrono::nanoseconds(when - Clock::now()).count(), 1);
    itimerspec at{};
    at.it_value.tv_sec = ns / 1'000'000'000;
    at.it_value.tv_nsec = ns % 1'000'000'000;
    timerfd_settime(fd_.get(), 0, &at, nullptr);
}

Result<EventLoop> EventLoop::make() {
    return EventLoop(KUDO_TRY(Epoll::create()));
}

Result<void> EventLoop::watch(int fd, std::function<void()> on_readable, uint32_t events) {
    KUDO_TRY(epoll_.watch(fd, events));
    handlers_[fd] = std::move(on_readable);
    return {};
}

void EventLoop::forget(int fd) {
    handlers_.erase(fd);
    epoll_.leave(fd);
}

Result<void> EventLoop::wait(std::chrono::steady_clock::time_point deadline) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
    std::array<epoll_event, 16> events{};
    const int got = epoll_wait(epoll_.fd(), events.data(), events.size(),
                               static_cast<int>(std::clamp<int64_t>(left.count(), 0, 24 * 3600 * 1000)));
    if (got < 0 && errno != EINTR) return fail_errno("cannot wait for events");
    for (int i = 0; i < got; ++i) {
        const auto found = handlers_.find(events[static_cast<std::size_t>(i)].data.fd);
        if (found == handlers_.end()) continue;
        const auto handler = found->second; // it may forget itself
        handler();
    }
    return {};
}

} // namespace kudo
