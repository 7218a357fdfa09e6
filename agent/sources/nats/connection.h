// SPDX-License-Identifier: MIT
// One connection to a fleet's message server.
// Invariant: a connection that is lost stays lost, the caller opens another; every call ends within the options'
// timeouts. Nothing that the server says is trusted.
#pragma once

#include <memory>
#include <string>

#include "agent/sources/nats/bucket.h"
#include "agent/sources/nats/callbacks.h"
#include "agent/sources/nats/options.h"
#include "maps/base/result.h"

namespace kudo {

class NatsConnection {
public:
    // `on_event`, if given, is called on other threads (callbacks.h) when the connection is lost or a message came.
    static Result<NatsConnection> open(const NatsOptions& options, NatsCallback::Function on_event = {});
    // Does the server answer?
    Result<void> round_trip();
    // Tells `on_event` of every message under this subject from now on, and no longer of the previous one's.
    Result<void> listen(const std::string& subject);
    // Looked up on the server. NotEnabled: there is no such bucket.
    Result<NatsBucket> bucket(const std::string& name);
    // The bucket, made if it is missing, with notifications (agent/fleet/layout.h) and as many replicas as there are
    // servers, at most three. One that is there gets both as far as the server lets it; its note says what it did not.
    enum class Notify { Key, Value };
    Result<NatsBucket> make_bucket(const std::string& name, int history, Notify notify = Notify::Key);
    [[nodiscard]] bool is_closed() const;

private:
    friend class NatsBucket;
    struct Handles;
    static std::string raise(Handles& handles, const std::string& name, Notify notify);
    explicit NatsConnection(std::shared_ptr<Handles> handles) : handles_(std::move(handles)) {}
    std::shared_ptr<Handles> handles_;
};

} // namespace kudo
