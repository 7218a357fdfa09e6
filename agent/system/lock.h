// SPDX-License-Identifier: MIT
// The one lock of an instance: whoever changes the state or the kernel holds it.
// Invariant: held by at most one process; the kernel frees it when that process ends, however it ends.
#pragma once

#include <chrono>

#include "agent/system/fd.h"
#include "agent/system/instance.h"
#include "maps/base/result.h"

namespace kudo {

class Lock {
public:
    // Makes the state directory if need be. Waits at most `timeout`; the Error then names the process that holds it.
    static Result<Lock> take(const Instance& instance, std::chrono::milliseconds timeout);
    // Deletes the lock file and the state directory if nothing else is in it, so that a host where nothing is enabled
    // keeps no trace. The lock itself stays held.
    void forget_if_unused(const Instance& instance);

private:
    explicit Lock(Fd fd) : fd_(std::move(fd)) {}
    Fd fd_;
};

} // namespace kudo
