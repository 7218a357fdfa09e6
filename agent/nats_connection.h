// SPDX-License-Identifier: MIT
// One connection to a fleet's message server, and the key-value buckets behind it. Included by the fleet's source and
// commands. Invariant: a connection that is lost stays lost, whoever wants another opens it; every call ends within the
// options' waits. Nothing that the server says is believed.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "agent/nats_bell.h"
#include "agent/nats_options.h"
#include "maps/result.h"

namespace kudo {

struct NatsEntry {
    std::string key, value;
    uint64_t revision = 0;
    std::chrono::system_clock::time_point created; // by the server's clock
};

class NatsBucket {
public:
    // Nothing: there is no such key.
    Result<std::optional<NatsEntry>> read(const std::string& key);
    Result<void> put(const std::string& key, const std::string& value);
    // Only if the key still has this revision; 0: only if there is no such key.
    Result<void> put_after(const std::string& key, const std::string& value, uint64_t revision);
    // Every key that matches, as "host.>" does, with its last value.
    Result<void> for_each(const std::string& keys, const std::function<void(NatsEntry)>& visit);

private:
    friend class NatsConnection;
    struct Handles;
    explicit NatsBucket(std::shared_ptr<Handles> handles) : handles_(std::move(handles)) {}
    std::shared_ptr<Handles> handles_;
};

class NatsConnection {
public:
    // `ring`, if given, is called on other threads (nats_bell.h) when the connection is lost or a message came.
    static Result<NatsConnection> open(const NatsOptions& options, NatsBell::Ring ring = {});
    // Does the server answer?
    Result<void> round_trip();
    // Rings for every message under this subject from now on, and no longer for the one before.
    Result<void> listen(const std::string& subject);
    // Looked up anew on the server. NotEnabled: there is no such bucket.
    Result<NatsBucket> bucket(const std::string& name);
    // The bucket, made if it is missing, with a doorbell (fleet_layout.h).
    Result<NatsBucket> make_bucket(const std::string& name, int history);
    [[nodiscard]] bool is_closed() const;

private:
    friend class NatsBucket;
    struct Handles;
    explicit NatsConnection(std::shared_ptr<Handles> handles) : handles_(std::move(handles)) {}
    std::shared_ptr<Handles> handles_;
};

} // namespace kudo
