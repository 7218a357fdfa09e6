// SPDX-License-Identifier: MIT
// STUN requests over UDP, many side by side: which are answered, after how long, with which mark, and what the network
// says of those that are not (ICMP).
// Invariant: sends each request at most `tries` times, and nothing after `deadline`.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "agent/stun/stun.h"
#include "agent/system/fd.h"
#include "maps/net/prefix.h"

namespace kudo {

struct DatagramProbe {
    Address to;
    uint16_t port = 0;
    bool allocate = false;             // TURN's Allocate; else Binding
    uint8_t dscp = 0;                  // of what is sent
    std::chrono::milliseconds after{}; // when it is sent first

    // What became of it:
    std::optional<StunResponse> response{};
    std::chrono::microseconds rtt{}; // from the last time it was sent
    unsigned sent = 0;
    uint8_t response_dscp = 0;
    int error = 0;                       // errno of sending, or of an ICMP error; 0: none
    std::optional<Address> complainer{}; // who has sent the ICMP error
};

struct ProbeTimes {
    std::vector<std::chrono::milliseconds> tries; // waits between a request and the next: {300ms, 900ms}
    std::chrono::milliseconds deadline;           // for all of them
};

// For IPv4 and for IPv6; -1 where a family has none.
using ProbeSockets = std::array<int, 2>;
using OwnProbeSockets = std::array<Fd, 2>;
// `mark`: SO_MARK of what they send, which needs CAP_NET_ADMIN; 0: none. A family that this host does not have has no
// socket.
Result<OwnProbeSockets> open_probe_sockets(uint32_t mark = 0);

// From one socket of each family, so that its mapped addresses can be compared. Ends as soon as each is answered or
// refused.
void probe_datagrams(std::vector<DatagramProbe>& probes, const ProbeTimes& times, const ProbeSockets& sockets);
// The same from sockets of its own. An Error: no socket.
Result<void> probe_datagrams(std::vector<DatagramProbe>& probes, const ProbeTimes& times);

// "refused (ICMP port unreachable) by 10.0.0.1"; empty: nothing was said.
std::string refusal_text(const DatagramProbe& probe);

} // namespace kudo
