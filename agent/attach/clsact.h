// SPDX-License-Identifier: MIT
// tc filters on clsact: the hook of kernels before 6.6, which have no tcx links. A filter has no owner, so we remember
// what we made by empty folders beside the pins, which live exactly as long as the rest of the data path.
// Invariant: only a filter that runs a program pinned beside its memory is touched; a clsact that we did not make, or
// that holds anybody else's filter, is never deleted.
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

// `memory` is the data path's folder of such folders, "filters"; the programs are pinned beside it.
// The id of the program that our filter runs there; 0: no filter of ours.
Result<uint32_t> clsact_program(const std::filesystem::path& memory, const ClsactHook& hook);
// Makes our filter run this pinned program, in place of the one it ran before.
Result<void> clsact_attach(const std::filesystem::path& memory, const ClsactHook& hook, int program_fd);
// Removes our filter, but leaves the clsact: making and removing one stops the interface's queues for a moment.
Result<void> clsact_remove_filter(const std::filesystem::path& memory, const ClsactHook& hook);
// Removes our filter, and the clsact if we made it and nobody else uses it.
Result<void> clsact_detach(const std::filesystem::path& memory, const ClsactHook& hook);
// Where somebody has deleted the pins and the memory: removes the filter with our handle that runs a program with one
// of our names. It may be another instance's, if that uses clsact on the same interface. Needs CAP_SYS_ADMIN to tell
// names.
Result<void> clsact_remove_orphan(const ClsactHook& hook);
// Makes sure that the interface has a clsact qdisc, and remembers if it was us who made it.
Result<void> ensure_clsact(const std::filesystem::path& memory, uint32_t interface);
// All hooks that the memory knows.
std::vector<ClsactHook> clsact_hooks(const std::filesystem::path& memory);

} // namespace kudo
