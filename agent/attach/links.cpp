// SPDX-License-Identifier: MIT
#include "agent/attach/links.h"

#include <bpf/bpf.h>
#include <linux/if_link.h>

#include <algorithm>
#include <iterator>

#include <fmt/format.h>

#include "agent/datapath/bpf_object.h"
#include "agent/netlink/interfaces.h"

namespace kudo {
namespace fs = std::filesystem;

// linux/bpf.h >= 6.6, BPF_F_BEFORE: without another link or program that it is relative to, before all others.
static constexpr uint32_t before_all = 1u << 3;
const LinkSlot xdp_native{"xdp_native", BPF_XDP, XDP_FLAGS_DRV_MODE};
const LinkSlot xdp_generic{"xdp_generic", BPF_XDP, XDP_FLAGS_SKB_MODE};
const LinkSlot tcx_ingress{"tcx_ingress", bpf_tcx_ingress, before_all};
const LinkSlot tcx_mark{"tcx_mark", bpf_tcx_ingress, before_all};
const LinkSlot tcx_egress{"tcx_egress", bpf_tcx_egress, before_all};
const LinkSlot* const link_slots[5] = {&xdp_native, &xdp_generic, &tcx_ingress, &tcx_mark, &tcx_egress};

static fs::path pin_path(const fs::path& folder, uint32_t interface, const LinkSlot& slot) {
    return folder / "links" / fmt::format("{}_{}", interface, slot.pin);
}

Result<std::optional<Fd>> open_link(const fs::path& folder, uint32_t interface, const LinkSlot& slot) {
    auto link = open_pin(pin_path(folder, interface, slot));
    if (!link && link.error().number == ENOENT) return std::optional<Fd>{};
    if (!link) return fail(std::move(link.error()));
    if (KUDO_TRY(link_info(link->get())).interface != interface)
        return std::optional<Fd>{}; // its interface is gone, or it was detached by force
    return std::optional<Fd>(std::move(*link));
}

// virtio's driver before Linux 6.12 refuses any change of its XDP program at an MTU that its programs may not have,
// also to none; the kernel then warns, forgets the link, and the driver runs the program on for good. To another
// program it refuses in the same way, but that does no harm. Other drivers take the change.
Result<void> check_driver_lets_go(int link, uint32_t index) {
    constexpr uint32_t usual_mtu = 1500;
    const auto interfaces = KUDO_TRY(list_interfaces());
    const auto interface = std::ranges::find(interfaces, index, &Interface::index);
    if (interface == interfaces.end() || interface->mtu <= usual_mtu) return {};
    const bpf_insn pass[] = {
        {.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0, .src_reg = 0, .off = 0, .imm = XDP_PASS},
        {.code = BPF_JMP | BPF_EXIT, .dst_reg = 0, .src_reg = 0, .off = 0, .imm = 0}};
    // Of the same type as ours: else the kernel itself refuses (net/core/dev.c, bpf_xdp_link_update()).
    LIBBPF_OPTS(bpf_prog_load_opts, options, .expected_attach_type = BPF_XDP);
    if (kernel_has_xdp_frags()) options.prog_flags = BPF_F_XDP_HAS_FRAGS;
    const Fd program(bpf_prog_load(BPF_PROG_TYPE_XDP, "kudo_last", "GPL", pass, std::size(pass), &options));
    if (!program || bpf_link_update(link, program.get(), nullptr) == 0 || errno == ENOLINK) return {};
    return fail_errno(fmt::format("{}: its driver does not let XDP go at an MTU of {}, as virtio's before Linux 6.12; "
                                  "ip link set {} mtu {}, then repeat this",
                                  interface->name, interface->mtu, interface->name, usual_mtu));
}

Result<bool> remove_link(const fs::path& folder, uint32_t interface, const LinkSlot& slot) {
    const auto path = pin_path(folder, interface, slot);
    auto link = open_pin(path);
    if (!link && link.error().number == ENOENT) return false;
    // Removing the pin frees the link some time later; detaching is immediate. ENOLINK: it has no interface any more.
    if (link && slot.pin == xdp_native.pin) KUDO_TRY(check_driver_lets_go(link->get(), interface));
    if (link) bpf_link_detach(link->get());
    if (unlink(path.c_str()) != 0 && errno != ENOENT) return fail_errno(path.string() + ": cannot remove the pin");
    return true;
}

Result<bool> ensure_link(const fs::path& folder, uint32_t interface, const LinkSlot& slot, int program) {
    auto link = KUDO_TRY(open_link(folder, interface, slot));
    if (link) {
        if (KUDO_TRY(link_info(link->get())).program_id == program_id(program)) return false;
        if (bpf_link_update(link->get(), program, nullptr) != 0) return fail_errno("cannot update a link's program");
        return true;
    }
    KUDO_TRY(remove_link(folder, interface, slot));
    LIBBPF_OPTS(bpf_link_create_opts, options);
    options.flags = slot.flags;
    const Fd created(bpf_link_create(program, static_cast<int>(interface), slot.type, &options));
    if (!created) return fail_errno("cannot attach");
    KUDO_TRY(pin(created.get(), pin_path(folder, interface, slot)));
    return true;
}

} // namespace kudo
