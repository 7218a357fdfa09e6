// SPDX-License-Identifier: MIT
// The number that libnats's threads carry instead of a pointer.
// Invariant: once a bell is destroyed nothing rings it, however late a thread of libnats comes.
#pragma once

#include <cstddef>
#include <functional>

namespace kudo {

struct NatsEvent {
    bool closed = false; // the connection is gone; otherwise: a message
};

class NatsCallbacks {
public:
    using Ring = std::function<void(const NatsEvent&)>;
    // `ring` is called on threads of libnats, one at a time; it must not make or destroy a bell.
    explicit NatsCallbacks(Ring ring);
    ~NatsCallbacks();
    NatsCallbacks(const NatsCallbacks&) = delete;
    NatsCallbacks& operator=(const NatsCallbacks&) = delete;

    [[nodiscard]] void* closure() const;
    static void ring(void* closure, const NatsEvent& event);

private:
    std::size_t number_ = 0;
};

} // namespace kudo
