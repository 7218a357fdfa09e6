// SPDX-License-Identifier: MIT
// Owners of libnats's objects, and its failures as an Error.
// Invariant: what libnats made is destroyed once, subscriptions before their connection.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include <nats/nats.h>

#include "agent/sources/nats/connection.h"

namespace kudo {

template <typename T, void (*destroy)(T*)> class NatsHandle {
public:
    NatsHandle() = default;
    explicit NatsHandle(T* object) : object_(object) {}
    [[nodiscard]] T* get() const { return object_.get(); }

    // For functions that write what they made to a T**: lives until the end of the full expression.
    class Filler {
    public:
        explicit Filler(NatsHandle& handle) : handle_(handle) {}
        Filler(const Filler&) = delete;
        Filler& operator=(const Filler&) = delete;
        ~Filler() { handle_.object_.reset(made_); }
        operator T**() { return &made_; }

    private:
        NatsHandle& handle_;
        T* made_ = nullptr;
    };
    Filler fill() { return Filler(*this); }

private:
    struct Destroy {
        void operator()(T* object) const { destroy(object); }
    };
    std::unique_ptr<T, Destroy> object_;
};

// Failed: "WHERE: WHAT: libnats's own text", one printable line. Called by the thread that `status` was returned to.
Result<void> nats_result(natsStatus status, std::string_view where, std::string_view what);

struct NatsConnection::Handles {
    std::string where; // for people
    std::chrono::milliseconds answer_wait{};
    NatsHandle<natsConnection, natsConnection_Destroy> connection;
    NatsHandle<jsCtx, jsCtx_Destroy> jetstream;
    NatsHandle<natsSubscription, natsSubscription_Destroy> subscription;
    std::optional<NatsCallback> callback; // last: it is destroyed first, and not called while the others end
};

struct NatsBucket::Handles {
    std::shared_ptr<NatsConnection::Handles> connection;
    std::string bucket, where;
    NatsHandle<kvStore, kvStore_Destroy> store;
};

} // namespace kudo
