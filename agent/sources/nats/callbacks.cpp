// SPDX-License-Identifier: MIT
// libnats calls back after natsConnection_Destroy() and natsSubscription_Destroy() have returned; a number that is no
// longer there is harmless, a pointer would not be.
#include "agent/sources/nats/callbacks.h"

#include <cstdint>
#include <memory>
#include <mutex>
#include <unordered_map>

namespace kudo {
namespace {

struct Bells {
    std::mutex mutex;
    std::unordered_map<std::size_t, NatsCallbacks::Ring> by_number;
    std::size_t last = 0;
};

// Never destroyed: libnats's threads outlive main().
Bells& bells() {
    static Bells* const all = std::make_unique<Bells>().release();
    return *all;
}

} // namespace

NatsCallbacks::NatsCallbacks(Ring ring) {
    const std::lock_guard lock(bells().mutex);
    number_ = ++bells().last;
    bells().by_number.emplace(number_, std::move(ring));
}

NatsCallbacks::~NatsCallbacks() {
    const std::lock_guard lock(bells().mutex);
    bells().by_number.erase(number_);
}

void* NatsCallbacks::closure() const {
    return reinterpret_cast<void*>(static_cast<std::uintptr_t>(number_));
}

void NatsCallbacks::ring(void* closure, const NatsEvent& event) {
    const std::lock_guard lock(bells().mutex);
    const auto bell = bells().by_number.find(reinterpret_cast<std::uintptr_t>(closure));
    if (bell != bells().by_number.end()) bell->second(event);
}

} // namespace kudo
