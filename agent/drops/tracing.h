// SPDX-License-Identifier: MIT
// The tracing program of bpf/drops.bpf.c in the kernel: one link on the tracepoint skb:kfree_skb, pinned with its
// program and tables in the data path's folder, "drops". Invariant: at most one copy counts at any moment
// (kudo_drop_control.counting); nothing else of the data path depends on it.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "agent/datapath/datapath.h"
#include "maps/base/result.h"

namespace kudo {

inline constexpr const char* drops_object = "drop tracing"; // its name in reports and in `status`

// Makes this build's program count: loads and attaches it where it is not, in place of another build's, whose tables it
// goes on with. False: it did already. An Error of kind Degraded: this kernel or this process cannot; NotPermitted:
// CAP_PERFMON is missing. What was there before counts on then.
Result<bool> ensure_tracing(const DataPath& data_path);

struct Tracing {
    bool attached = false;
    std::string why_not;          // a sentence, unless attached
    bool enable_corrects = false; // and this build would attach it
    uint64_t missed = 0;          // the program was not run: another drop was being counted on the CPU
};
// As the kernel says.
Tracing read_tracing(const DataPath& data_path);

// Its link's number; 0: none is pinned.
uint32_t tracing_link(const std::filesystem::path& data_path_folder);
// A copy that no pin of ours holds, by its program's descriptor: does it count? The kernel has no way to detach a link
// on a tracepoint while something holds it, as a bpffs under another mount does; switched off it is left without an
// effect, and ends with its holder. Takes CAP_SYS_ADMIN.
Result<bool> counts_unpinned(uint32_t program);
Result<void> switch_off_unpinned(uint32_t program);

// Nothing counts any more; the link ends with the pins, which go with the data path's folder.
// True if there was a link.
Result<bool> remove_tracing(const std::filesystem::path& data_path_folder);

} // namespace kudo
