// SPDX-License-Identifier: MIT
#include "agent/event_loop.h"

#include <sys/epoll.h>

#include <algorithm>
#include <array>

namespace kudo {

Result<EventLoop> EventLoop::make() {
    auto epoll = Epoll::create();
    if (!epoll) return fail(std::move(epoll.error()));
    return EventLoop(std::move(*epoll));
}

Result<void> EventLoop::watch(int fd, std::function<void()> on_readable) {
    KUDO_TRY(epoll_.watch(fd, EPOLLIN));
    handlers_[fd] = std::move(on_readable);
    return {};
}

Result<void> EventLoop::wait(std::chrono::steady_clock::time_point deadline) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
    std::array<epoll_event, 16> events{};
    const int got = epoll_wait(epoll_.fd(), events.data(), events.size(),
                               static_cast<int>(std::clamp<int64_t>(left.count(), 0, 24 * 3600 * 1000)));
    if (got < 0 && errno != EINTR) return fail_errno("cannot wait for events");
    for (int i = 0; i < got; ++i)
        handlers_.at(events[static_cast<std::size_t>(i)].data.fd)();
    return {};
}

} // namespace kudo
