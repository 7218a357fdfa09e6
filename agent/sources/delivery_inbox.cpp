// SPDX-License-Identifier: MIT
#include "agent/sources/delivery_inbox.h"

#include <algorithm>

#include <sys/eventfd.h>

namespace kudo {

DeliveryInbox::DeliveryInbox() : ready_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {}

void DeliveryInbox::put(Delivery delivery) {
    {
        const std::lock_guard lock(mutex_);
        std::erase_if(waiting_, [&](const Delivery& other) { return other.source == delivery.source; });
        waiting_.push_back(std::move(delivery));
    }
    // Fails only when the counter is full, and then it is readable.
    [[maybe_unused]] const int result = ::eventfd_write(ready_.get(), 1);
}

std::vector<Delivery> DeliveryInbox::take() {
    // First: what comes after this makes it readable again.
    eventfd_t count = 0;
    [[maybe_unused]] const int result = ::eventfd_read(ready_.get(), &count);
    const std::lock_guard lock(mutex_);
    return std::exchange(waiting_, {});
}

} // namespace kudo
