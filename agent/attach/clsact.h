// SPDX-License-Identifier: MIT
// tc filters on clsact: the hook of kernels before 6.6, which have no tcx links. A filter has no owner, so what
// we made is marked by empty folders next to the pins, which live exactly as long as the rest of the data path.
// Invariant: only a filter that runs a program pinned next to its marker is touched; a clsact that we did not make, or
// that holds another filter, is never deleted.
#pragma once

#include <cstdint>
#include <filesystem>
#include <vector>

#include "maps/base/result.h"

namespace kudo {

struct ClsactHook {
    uint32_t interface = 0; // ifindex
    bool ingress = false;
};

// `folder`: the data path's.
// The id of the program that our filter runs there; 0: we have no filter there.
Result<uint32_t> clsact_program(const std::filesystem::path& folder, const ClsactHook& hook);
// Makes our filter run this pinned program, in place of the one it ran before.
Result<void> clsact_attach(const std::filesystem::path& folder, const ClsactHook& hook, int program_fd);
// Removes our filter, but leaves the clsact: making and removing one stops the interface's queues for a moment.
// True if there was one.
Result<bool> clsact_remove_filter(const std::filesystem::path& folder, const ClsactHook& hook);
// Removes our filter, and the clsact if we made it and it has no other filter.
Result<void> clsact_detach(const std::filesystem::path& folder, const ClsactHook& hook);
// Where the pins and markers were deleted by hand: removes the filter with our handle that runs a program with one
// of our names. It may be another instance's, if that uses clsact on the same interface. Needs CAP_SYS_ADMIN to tell
// names.
Result<void> clsact_remove_orphan(const ClsactHook& hook);
// Makes sure that the interface has a clsact qdisc, and marks it if we made it.
Result<void> ensure_clsact(const std::filesystem::path& folder, uint32_t interface);
// All hooks that have a marker.
std::vector<ClsactHook> clsact_hooks(const std::filesystem::path& folder);

} // namespace kudo
