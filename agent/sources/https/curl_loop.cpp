// SPDX-License-Identifier: MIT
#include "agent/sources/https/curl_loop.h"

#include <fmt/format.h>

namespace kudo {

namespace {

int on_socket(CURL* /*transfer*/, curl_socket_t socket, int what, void* epoll, void* /*of_socket*/) {
    const auto& watched = *static_cast<const Epoll*>(epoll);
    if (what == CURL_POLL_REMOVE) {
        watched.forget(socket);
        return 0;
    }
    const uint32_t events = ((what & CURL_POLL_IN) != 0 ? EPOLLIN : 0U) | ((what & CURL_POLL_OUT) != 0 ? EPOLLOUT : 0U);
    return watched.watch(socket, events) ? 0 : -1;
}

int on_timer(CURLM* /*multi*/, long wait_ms, void* timer) {
    const auto& set = *static_cast<const Timer*>(timer);
    if (wait_ms < 0)
        set.stop();
    else
        set.set(Timer::Clock::now() + std::chrono::milliseconds(wait_ms));
    return 0;
}

} // namespace

Result<std::unique_ptr<CurlLoop>> CurlLoop::create(const Epoll& epoll) {
    auto timer = KUDO_TRY(Timer::create());
    KUDO_TRY(epoll.watch(timer.fd(), EPOLLIN));
    // Counted by libcurl: each loop has its own, given back by the destructor.
    if (const CURLcode code = curl_global_init(CURL_GLOBAL_DEFAULT); code != CURLE_OK)
        return fail(fmt::format("libcurl: {}", curl_easy_strerror(code)));
    CURLM* const multi = curl_multi_init();
    if (multi == nullptr) {
        curl_global_cleanup();
        return fail("libcurl: curl_multi_init failed");
    }
    return std::unique_ptr<CurlLoop>(new CurlLoop(epoll, std::move(timer), multi));
}

CurlLoop::CurlLoop(const Epoll& epoll, Timer timer, CURLM* multi)
    : epoll_(epoll), timer_(std::move(timer)), multi_(multi) {
    curl_multi_setopt(multi_, CURLMOPT_SOCKETFUNCTION, on_socket);
    curl_multi_setopt(multi_, CURLMOPT_SOCKETDATA, &epoll_);
    curl_multi_setopt(multi_, CURLMOPT_TIMERFUNCTION, on_timer);
    curl_multi_setopt(multi_, CURLMOPT_TIMERDATA, &timer_);
}

CurlLoop::~CurlLoop() {
    curl_multi_cleanup(multi_);
    curl_global_cleanup();
}

Result<void> CurlLoop::add(CURL* transfer) {
    if (const CURLMcode code = curl_multi_add_handle(multi_, transfer); code != CURLM_OK)
        return fail(fmt::format("libcurl: {}", curl_multi_strerror(code)));
    return {};
}

void CurlLoop::remove(CURL* transfer) {
    curl_multi_remove_handle(multi_, transfer);
}

void CurlLoop::on_event(const epoll_event& event) {
    int running = 0;
    if (event.data.fd == timer_.fd()) {
        timer_.stop();
        curl_multi_socket_action(multi_, CURL_SOCKET_TIMEOUT, 0, &running);
        return;
    }
    const int what = ((event.events & EPOLLIN) != 0 ? CURL_CSELECT_IN : 0) |
                     ((event.events & EPOLLOUT) != 0 ? CURL_CSELECT_OUT : 0) |
                     ((event.events & (EPOLLERR | EPOLLHUP)) != 0 ? CURL_CSELECT_ERR : 0);
    curl_multi_socket_action(multi_, event.data.fd, what, &running);
}

std::optional<CurlLoop::Ended> CurlLoop::take_ended() {
    int left = 0;
    const CURLMsg* const message = curl_multi_info_read(multi_, &left);
    // CURLMSG_DONE is the only kind there is.
    if (message == nullptr) return std::nullopt;
    const Ended ended{message->easy_handle, message->data.result}; // the message ends with the removal
    remove(ended.transfer);
    return ended;
}

} // namespace kudo
