// SPDX-License-Identifier: MIT
// tc filters on clsact: the hook of kernels before 6.6, which have no tcx links. A filter has no owner, so what we made
// is marked by empty folders next to the pins, which live exactly as long as the rest of the data path, and by its
// handle; a clsact also by an empty chain. Invariant: only a filter that runs a program pinned next to its marker is
// touched, or, where the pins are lost, one with the instance's handle and a program of our names; a clsact that we did
// not make, or that holds another filter, is never deleted.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "maps/base/result.h"

namespace kudo {

struct ClsactHook {
    uint32_t interface = 0; // ifindex
    bool ingress = false;
};

// `folder`: the data path's.
struct ClsactFilter {
    uint32_t program = 0;               // the id of the program that our filter runs there; 0: we have no filter there
    bool once = true;                   // there is only one of ours
    std::vector<std::string> in_front;  // other filters that run before it: "u32 filter at preference 1"
    bool may_be_moved_to_front = false; // attached again it would be the first
};
Result<ClsactFilter> read_clsact(const std::filesystem::path& folder, const ClsactHook& hook);
// Makes our filter run this pinned program, before all filters where that can be. `handle`: of a filter of this
// instance. An Error where an ingress qdisc that is not ours takes clsact's place: it has no egress
// (net/sched/sch_ingress.c).
Result<void> clsact_attach(const std::filesystem::path& folder, const ClsactHook& hook, int program_fd,
                           uint32_t handle);
// What keeps a filter of ours from this hook, as clsact_attach() would say it; empty: nothing that can be seen.
std::string clsact_obstacle(const ClsactHook& hook);
// Removes our filter, but leaves the clsact: making and removing one stops the interface's queues for a moment.
// True if there was one.
Result<bool> clsact_remove_filter(const std::filesystem::path& folder, const ClsactHook& hook);
// Removes our filter, and the clsact if we made it and it has no other filter.
Result<void> clsact_detach(const std::filesystem::path& folder, const ClsactHook& hook);
// Where the pins and markers are lost: removes the filters with the instance's handle that run a program of our names,
// which the kernel shows as libbpf writes them, "kudo_tc_egress:[12]". True if there was any.
Result<bool> clsact_remove_orphans(const ClsactHook& hook, uint32_t handle);
// And then the clsact, if it has no filters and kudo-agent made it, which an empty chain of filters there says. True if
// it was removed.
Result<bool> clsact_remove_orphaned_qdisc(uint32_t interface);
// Makes sure that the interface has a clsact qdisc, or on the ingress side an ingress qdisc, and marks it if we made
// it.
Result<void> ensure_clsact(const std::filesystem::path& folder, const ClsactHook& hook);
// All hooks that have a marker.
std::vector<ClsactHook> clsact_hooks(const std::filesystem::path& folder);

} // namespace kudo
