// SPDX-License-Identifier: MIT
// The lock of an instance: whoever changes the state or the kernel holds it. It is a flock(2) of the state directory
// itself, so there is no lock file to create, to write on a full disk or to remove.
// Invariant: held by at most one process; the kernel releases it when that process ends, however it ends.
#pragma once

#include <chrono>
#include <filesystem>

#include "agent/system/fd.h"
#include "maps/base/result.h"

namespace kudo {

// Creates the folder if need be and locks it until the descriptor is closed. Waits at most `timeout`: the Error's
// number is EWOULDBLOCK then, and its message names the process that holds the lock.
Result<Fd> lock_folder(const std::filesystem::path& folder, std::chrono::milliseconds timeout);

// The same of a file of its own, without waiting, for as long as a process runs: the Error's number is EWOULDBLOCK
// where another one has it. Whoever holds it removes it at the end.
Result<Fd> lock_file(const std::filesystem::path& file);
// Does a process hold it now?
Result<bool> is_locked(const std::filesystem::path& file);
// Removes what a killed process has left; nothing where one holds it, or there is none.
void remove_unlocked_file(const std::filesystem::path& file);

} // namespace kudo
