// SPDX-License-Identifier: MIT
// BPF links on an interface's hooks, each pinned as "<ifindex>_<hook>" in the data path's folder.
// Invariant: a link's pin and its attachment live and die together.
#pragma once

#include <linux/bpf.h>

#include <cstdint>
#include <filesystem>
#include <optional>

#include "agent/attach/in_kernel.h"
#include "agent/system/fd.h"
#include "maps/base/result.h"

namespace kudo {

// One hook of one interface that a program of ours can be attached to, and its pin.
struct LinkSlot {
    const char* pin; // suffix
    bpf_attach_type type;
    uint32_t flags; // of the link's creation
    [[nodiscard]] bool is_ingress() const { return type == bpf_tcx_ingress; }
};
extern const LinkSlot xdp_native, xdp_generic, tcx_ingress, tcx_mark, tcx_egress;
extern const LinkSlot* const link_slots[5];

// The link that is pinned for this slot, if it is alive. `folder`: the data path's.
Result<std::optional<Fd>> open_link(const std::filesystem::path& folder, uint32_t interface, const LinkSlot& slot);
// Detaches. True if there was one. An Error: the driver would not let go of native XDP, and the link stays.
Result<bool> remove_link(const std::filesystem::path& folder, uint32_t interface, const LinkSlot& slot);
// Can this XDP link be taken off its interface? Ask before it is detached: a driver that refuses keeps the program for
// good, and the kernel forgets it.
Result<void> check_driver_lets_go(int link, uint32_t interface);
// Makes the slot's link run `program`. False: it did already.
Result<bool> ensure_link(const std::filesystem::path& folder, uint32_t interface, const LinkSlot& slot, int program);

} // namespace kudo
