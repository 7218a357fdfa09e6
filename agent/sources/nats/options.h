// SPDX-License-Identifier: MIT
// How to reach a fleet's message server, and the timeouts.
// Invariant: nothing of libnats shows here.
#pragma once

#include <chrono>
#include <string>
#include <string_view>
#include <vector>

namespace kudo {

struct NatsOptions {
    std::string url;                       // "nats://HOST:4222", "tls://HOST:4222"; several with commas between them
    std::string credentials;               // file: one line USER:PASSWORD, or nsc's chained file; empty: none
    std::string ca_file, certificate, key; // PEM files; any of them means TLS
    std::string fleet, ring, host;         // ring and host are needed by the source only

    std::chrono::milliseconds connect_wait = std::chrono::seconds(10);  // until the server has accepted the connection
    std::chrono::milliseconds answer_wait = std::chrono::seconds(5);    // for every response
    std::chrono::milliseconds reconnect_wait = std::chrono::seconds(1); // doubled each time, with jitter, up to:
    std::chrono::milliseconds max_reconnect_wait = std::chrono::seconds(30);
    std::chrono::milliseconds health_check = std::chrono::seconds(60); // between round trips
    std::chrono::milliseconds read_again = std::chrono::minutes(5);    // at most, between reading everything
    // A new map notifies every host at once: each waits for a random part of this before it reads.
    std::chrono::milliseconds notification_spread = std::chrono::seconds(2);

    [[nodiscard]] std::vector<std::string> urls() const;
    [[nodiscard]] bool wants_tls() const;
};

// The same for each of its servers alone, in their order. If one of them wants TLS, all do.
std::vector<NatsOptions> one_by_one(const NatsOptions& options);

// The URLs without user names and passwords: what people may see.
std::string redacted_url(std::string_view url);

} // namespace kudo
