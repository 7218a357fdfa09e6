// SPDX-License-Identifier: MIT
// STUN Binding requests (RFC 8489) to one server, one after the other, and how long each response takes.
// Invariant: never waits; a response counts only from the server, with the request's transaction, once. Times of
// arrival are the kernel's, so that a caller who reads late measures right.
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>

#include "agent/stun/stun.h"
#include "agent/system/fd.h"
#include "maps/net/prefix.h"

namespace kudo {

class StunPings {
public:
    static constexpr uint16_t port = 3478;

    // The socket's port stays the same, as a NAT likes it. `from`: the flow's own address. `interface`: by which it
    // sends, unless the routes know none there.
    static Result<StunPings> open(const Address& server, const Address& from, uint32_t interface);
    [[nodiscard]] const Address& server() const { return server_; }
    [[nodiscard]] const Address& from() const { return from_; }

    [[nodiscard]] uint16_t local_port() const { return local_port_; }

    // False: it could not be sent, errno says why. `number`: what the response is told by.
    bool send(uint32_t number);
    // Of what has come since.
    void receive(const std::function<void(uint32_t number, std::chrono::nanoseconds rtt)>& answered);

private:
    struct Request {
        uint32_t number = 0;
        StunTransaction transaction{};
        std::chrono::nanoseconds sent_at{}; // CLOCK_REALTIME, as the kernel stamps what arrives
    };
    StunPings(const Address& server, const Address& from, Fd fd, uint16_t local_port)
        : server_(server), from_(from), fd_(std::move(fd)), local_port_(local_port) {}

    Address server_, from_;
    Fd fd_;
    uint16_t local_port_;
    std::deque<Request> open_; // the last ones
};

} // namespace kudo
