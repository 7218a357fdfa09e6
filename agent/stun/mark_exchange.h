// SPDX-License-Identifier: MIT
// The same STUN requests side by side, unmarked and with each mark (DSCP): which are answered.
// Invariant: in turns, so that all marks have the same moments.
#pragma once

#include <chrono>
#include <cstdint>
#include <vector>

#include "agent/stun/datagram_probe.h"
#include "maps/net/prefix.h"

namespace kudo {

struct StunServer {
    Address address{};
    uint16_t port = 0;
    auto operator<=>(const StunServer&) const = default;
};

// What became of the requests with one mark.
struct MarkOutcome {
    uint8_t dscp = 0;
    unsigned sent = 0, answered = 0;
    std::chrono::microseconds median_rtt{}; // of those that were answered
    std::vector<uint8_t> answers{};         // the marks that answers came with, distinct
    [[nodiscard]] double loss() const {
        return sent == 0 ? 0 : 1 - static_cast<double>(answered) / static_cast<double>(sent);
    }
};

struct MarkExchangeTimes {
    unsigned requests = 0;           // with each mark, to each server
    std::chrono::milliseconds gap{}; // between a mark and the next
    std::chrono::milliseconds all{}; // it ends when all are answered, or then
};

// In the order of `dscps`.
std::vector<MarkOutcome> exchange_marked(const std::vector<StunServer>& servers, const std::vector<uint8_t>& dscps,
                                         const MarkExchangeTimes& times, const ProbeSockets& sockets);

} // namespace kudo
