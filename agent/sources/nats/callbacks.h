// SPDX-License-Identifier: MIT
// A registry of callbacks: libnats's threads carry the number of one instead of a pointer.
// Invariant: once it is destroyed it is not called, however late a thread of libnats comes: libnats calls back even
// after natsConnection_Destroy() and natsSubscription_Destroy() have returned.
#pragma once

#include <cstddef>
#include <functional>
#include <string>

namespace kudo {

struct NatsEvent {
    bool closed = false; // the connection is gone; otherwise: a message
    std::string subject = {};
    std::string value = {}; // empty: it carries none, or too long a one
};

class NatsCallback {
public:
    using Function = std::function<void(const NatsEvent&)>;
    // `function` is called on threads of libnats, one at a time; it must not make or destroy a NatsCallback.
    explicit NatsCallback(Function function);
    ~NatsCallback();
    NatsCallback(const NatsCallback&) = delete;
    NatsCallback& operator=(const NatsCallback&) = delete;

    // For libnats; call() finds the callback by it, or does nothing.
    [[nodiscard]] void* closure() const;
    static void call(void* closure, const NatsEvent& event);

private:
    std::size_t number_ = 0;
};

} // namespace kudo
