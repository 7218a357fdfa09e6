// SPDX-License-Identifier: MIT
// Takes everything of an instance out of the kernel: by its pins, and what has lost them.
// Invariant: goes on after an error; what could not be removed is named.
#pragma once

#include <filesystem>
#include <set>
#include <string>
#include <vector>

#include "agent/system/instance.h"
#include "maps/base/result.h"

namespace kudo {

// What was found and removed, and what was not.
struct Removed {
    bool any = false;
    std::vector<std::string> left;    // "interface #3: why": certainly ours, and still there
    std::vector<std::string> unknown; // programs of which this process may not know whose they are
};

// By the pins of this and of every other layout: puts every interface's queues back, detaches, and removes the pins.
// Where something could not be put back, that layout's pins stay, which remember it.
Removed teardown(const Instance& instance);

// Every ifindex that a pin, or a filter or queue of kudo-agent's, names, whether the interface still exists or not.
// `folder`: the data path's.
std::set<uint32_t> held_interfaces(const std::filesystem::path& folder);
// Puts the interface's own queues back and detaches our programs. True if there was anything.
Result<bool> release_interfaces(const std::filesystem::path& folder, uint32_t interface);

// What is in the kernel without this instance's pins: they were deleted, another bpffs is mounted over them, or they
// are elsewhere. Links need CAP_SYS_ADMIN to be found, filters do not. `queues`: also qdiscs and devices of ours, which
// do not tell which instance's they are; the kernel's defaults come back.
Removed remove_orphans(const Instance& instance, bool queues);

} // namespace kudo
