// SPDX-License-Identifier: MIT
// The fleet's source with a loop around it as the service has one, and the operator's hand on the same server.
// Invariant: every delivery is kept, in its order.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "agent/sources/nats/source.h"

namespace kudo::test {

// Short waits, the same logic.
NatsOptions quick_nats_options(const std::string& url);

class NatsAgent {
public:
    explicit NatsAgent(const NatsOptions& options);

    NatsSource source;
    std::vector<Delivery> deliveries;

    // Serves the source until `done` or the time is over; says which.
    bool serve_until(const std::function<bool()>& done, std::chrono::milliseconds timeout);
    void serve(std::chrono::milliseconds time);
    // Until this is what was delivered last.
    bool serve_until_delivered(const std::string& document,
                               std::chrono::milliseconds timeout = std::chrono::seconds(20));
    [[nodiscard]] std::vector<std::string> documents() const;
    // A healthy report of this host.
    // Of this machine and in this health, if they are given.
    void report(uint64_t serial, const Machine& machine = {}, std::string_view health = health_good);

private:
    bool serve(const std::function<bool()>& done, std::chrono::milliseconds time);
};

// What an operator does; each opens a connection of its own, and throws if it fails.
void put_document(const NatsOptions& options, const std::string& document,
                  const std::string& signatures = "signature\n");
void put_value(const NatsOptions& options, const std::string& key, const std::string& value);
void make_buckets(const NatsOptions& options);
void delete_buckets(const NatsOptions& options);
// Empty: there is none.
std::string stored_report(const NatsOptions& options);

} // namespace kudo::test
