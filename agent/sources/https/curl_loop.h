// SPDX-License-Identifier: MIT
// libcurl's transfers driven by an epoll and a timer, without a thread of ours.
// Invariant: nothing waits; all of its descriptors are in the epoll it was given, and gone from it when it is gone.
#pragma once

#include <memory>
#include <optional>

#include <curl/curl.h>

#include "agent/system/event_loop.h"

namespace kudo {

class CurlLoop {
public:
    // `epoll` outlives it.
    static Result<std::unique_ptr<CurlLoop>> create(const Epoll& epoll);
    ~CurlLoop();
    CurlLoop(const CurlLoop&) = delete;
    CurlLoop& operator=(const CurlLoop&) = delete;

    Result<void> add(CURL* transfer);
    void remove(CURL* transfer);
    // An event of the epoll that is of no other's descriptor.
    void on_event(const epoll_event& event);
    // One that has ended; it is removed.
    struct Ended {
        CURL* transfer;
        CURLcode code;
    };
    std::optional<Ended> take_ended();

private:
    CurlLoop(const Epoll& epoll, Timer timer, CURLM* multi);
    const Epoll& epoll_;
    Timer timer_;
    CURLM* multi_;
};

} // namespace kudo
