// SPDX-License-Identifier: MIT
// Takes everything of an instance out of the kernel.
// Invariant: needs nothing but the pins, so that it works whatever state a killed command has left.
#pragma once

#include <filesystem>
#include <set>

#include "agent/system/instance.h"
#include "maps/base/result.h"

namespace kudo {

// Puts every interface's queues back, detaches, and removes the pins. Goes on after an error, and then keeps the pins,
// which remember what is still to be put back; returns the first.
Result<void> teardown(const Instance& instance);

// Every ifindex that a pin, or a filter or queue of kudo-agent's, names, whether the interface still exists or not.
// `folder`: the data path's.
std::set<uint32_t> held_interfaces(const std::filesystem::path& folder);
// Puts the interface's own queues back and detaches our programs. True if there was anything.
Result<bool> release_interfaces(const std::filesystem::path& folder, uint32_t interface);

// For an instance that was enabled and whose pins somebody has deleted by hand: links end with their pins, tc filters
// do not, nor do queues. Removes ours from every interface; a clsact is left in place, since it is not known who made
// it.
Result<void> remove_orphans();

} // namespace kudo
