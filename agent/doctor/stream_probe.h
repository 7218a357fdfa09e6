// SPDX-License-Identifier: MIT
// TURN over TCP: connects, sends an Allocate without credentials, and reads what comes back (RFC 8656 section 2.1,
// RFC 8489 section 6.2.2). Many side by side.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <vector>

#include "agent/stun/stun.h"
#include "maps/net/prefix.h"

namespace kudo {

struct StreamProbe {
    Address to;
    uint16_t port = 0;

    // What became of it:
    std::optional<std::chrono::microseconds> connected{}; // the time of TCP's own handshake
    std::optional<StunResponse> response{};
    bool closed = false; // by the other side, after the connection was there and without a response
    int error = 0;       // errno of connecting; ETIMEDOUT where nothing came
};
void probe_streams(std::vector<StreamProbe>& probes, std::chrono::milliseconds deadline);

} // namespace kudo
