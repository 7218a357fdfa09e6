// SPDX-License-Identifier: MIT
// The lock of an instance: whoever changes the state or the kernel holds it. It is a flock of the state directory
// itself, so there is no lock file to make, to write on a full disk or to remove.
// Invariant: held by at most one process; the kernel frees it when that process ends, however it ends.
#pragma once

#include <chrono>
#include <filesystem>

#include "agent/system/fd.h"
#include "agent/system/instance.h"
#include "maps/base/result.h"

namespace kudo {

// Makes the folder if need be and locks it, for as long as the descriptor is open. Waits at most `timeout`: the Error's
// number is EWOULDBLOCK then, and its message names the process that holds the lock.
Result<Fd> lock_folder(const std::filesystem::path& folder, std::chrono::milliseconds timeout);

class Lock {
public:
    // As lock_folder() of the state directory, which stays.
    static Result<Lock> take(const Instance& instance, std::chrono::milliseconds timeout);

private:
    explicit Lock(Fd fd) : fd_(std::move(fd)) {}
    Fd fd_;
};

} // namespace kudo
