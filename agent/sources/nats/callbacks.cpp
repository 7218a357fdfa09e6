// SPDX-License-Identifier: MIT
#include "agent/sources/nats/callbacks.h"

#include <cstdint>
#include <memory>
#include <mutex>
#include <unordered_map>

namespace kudo {
namespace {

struct Registry {
    std::mutex mutex;
    std::unordered_map<std::size_t, NatsCallback::Function> by_number;
    std::size_t last = 0;
};

// Never destroyed: libnats's threads outlive main().
Registry& registry() {
    static Registry* const all = std::make_unique<Registry>().release();
    return *all;
}

} // namespace

NatsCallback::NatsCallback(Function function) {
    const std::lock_guard lock(registry().mutex);
    number_ = ++registry().last;
    registry().by_number.emplace(number_, std::move(function));
}

NatsCallback::~NatsCallback() {
    const std::lock_guard lock(registry().mutex);
    registry().by_number.erase(number_);
}

void* NatsCallback::closure() const {
    return reinterpret_cast<void*>(static_cast<std::uintptr_t>(number_));
}

void NatsCallback::call(void* closure, const NatsEvent& event) {
    const std::lock_guard lock(registry().mutex);
    const auto found = registry().by_number.find(reinterpret_cast<std::uintptr_t>(closure));
    if (found != registry().by_number.end()) found->second(event);
}

} // namespace kudo
