// SPDX-License-Identifier: MIT
// Hands deliveries from a source's own thread to the service's loop.
// Invariant: of one place only the newest delivery waits, so the memory is bounded; neither side ever waits for the
// other longer than a copy takes.
#pragma once

#include <mutex>
#include <utility>
#include <vector>

#include "agent/sources/source.h"
#include "agent/system/fd.h"

namespace kudo {

class DeliveryInbox {
public:
    DeliveryInbox();
    // Readable while something waits; -1 if the system had no descriptor left.
    [[nodiscard]] int fd() const { return ready_.get(); }
    // In the place of an earlier one with the same `source`.
    void put(Delivery delivery);
    // In the order in which they came.
    std::vector<Delivery> take();

private:
    Fd ready_;
    std::mutex mutex_;
    std::vector<Delivery> waiting_;
};

} // namespace kudo
