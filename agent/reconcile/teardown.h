// SPDX-License-Identifier: MIT
// Takes everything of an instance out of the kernel: by its pins, and what has lost them.
// Invariant: goes on after an error; what could not be removed is named.
#pragma once

#include <filesystem>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "agent/attach/in_kernel.h"
#include "agent/netlink/interfaces.h"
#include "agent/system/instance.h"
#include "maps/base/result.h"

namespace kudo {

// What was found and removed, and what was not.
struct Removed {
    bool any = false;
    std::vector<std::string> left;    // "interface #3: why": certainly ours, and still there
    std::vector<std::string> unknown; // programs and qdiscs of which this process may not know whose they are
};

// By the pins of this and of every other layout: puts every interface's queues back, detaches, and removes the pins.
// Where something could not be put back, that layout's pins stay, which remember it.
Removed teardown(const Instance& instance);

// Every ifindex that a pin, or a filter or queue of kudo-agent's, names, whether the interface still exists or not.
// `folder`: the data path's.
std::set<uint32_t> held_interfaces(const std::filesystem::path& folder);
// Puts the interface's own queues back and detaches our programs. True if there was anything.
Result<bool> release_interfaces(const std::filesystem::path& folder, uint32_t interface);

// The instance's links that no pin of its layouts holds, but for a tracing program's that is switched off. NotPermitted
// without CAP_SYS_ADMIN.
Result<std::vector<OwnLink>> unpinned_links(const Instance& instance);
// Detaches them, or switches the tracing program off: from where another bpffs was mounted over the pins. Without
// CAP_SYS_ADMIN there is nothing to see.
Removed remove_unpinned_links(const Instance& instance);
// Programs on the interfaces' hooks that no pin of ours holds, where this process may not know whose they are: "eth0:
// #12 on XDP". None with CAP_SYS_ADMIN.
std::vector<std::string> unknown_programs(const Instance& instance, std::span<const Interface> interfaces);

// What is in the kernel without this instance's pins: they were deleted, another bpffs is mounted over them, or they
// are elsewhere. Links need CAP_SYS_ADMIN to be found, filters and IFB devices do not. In the place of a root qdisc of
// ours the kernel's default comes back; interfaces that a pin still names are left to teardown().
Removed remove_orphans(const Instance& instance);

} // namespace kudo
