// SPDX-License-Identifier: MIT
#include "agent/attach/attachment.h"

#include <bpf/bpf.h>
#include <linux/if_link.h>

#include <algorithm>
#include <vector>

#include <fmt/format.h>

#include "agent/attach/clsact.h"
#include "agent/attach/in_kernel.h"
#include "agent/netlink/interface_number.h"

namespace kudo {
namespace fs = std::filesystem;
namespace {

// One hook of one interface that a program of ours can be attached to, and its pin.
struct Slot {
    const char* pin; // suffix
    bpf_attach_type type;
    uint32_t flags; // of the link's creation
};
// linux/bpf.h >= 6.6, BPF_F_BEFORE: without another link or program that it is relative to, before all others.
constexpr uint32_t before_all = 1u << 3;
constexpr Slot xdp_native{"xdp_native", BPF_XDP, XDP_FLAGS_DRV_MODE};
constexpr Slot xdp_generic{"xdp_generic", BPF_XDP, XDP_FLAGS_SKB_MODE};
constexpr Slot tcx_ingress{"tcx_ingress", bpf_tcx_ingress, before_all};
constexpr Slot tcx_mark{"tcx_mark", bpf_tcx_ingress, before_all};
constexpr Slot tcx_egress{"tcx_egress", bpf_tcx_egress, before_all};
constexpr const Slot* slots[] = {&xdp_native, &xdp_generic, &tcx_ingress, &tcx_mark, &tcx_egress};

fs::path pin_path(const fs::path& folder, uint32_t interface, const Slot& slot) {
    return folder / "links" / fmt::format("{}_{}", interface, slot.pin);
}

// The link that is pinned for this slot, if it is alive.
Result<std::optional<Fd>> open_link(const fs::path& folder, uint32_t interface, const Slot& slot) {
    auto link = open_pin(pin_path(folder, interface, slot));
    if (!link && link.error().number == ENOENT) return std::optional<Fd>{};
    if (!link) return fail(std::move(link.error()));
    if (KUDO_TRY(link_info(link->get())).interface != interface)
        return std::optional<Fd>{}; // its interface is gone, or it was detached by force
    return std::optional<Fd>(std::move(*link));
}

Result<bool> remove_link(const fs::path& folder, uint32_t interface, const Slot& slot) {
    const auto path = pin_path(folder, interface, slot);
    auto link = open_pin(path);
    if (!link && link.error().number == ENOENT) return false;
    // Removing the pin frees the link some time later; detaching is immediate. ENOLINK: it has no interface any more.
    if (link) bpf_link_detach(link->get());
    if (unlink(path.c_str()) != 0 && errno != ENOENT) return fail_errno(path.string() + ": cannot remove the pin");
    return true;
}

// Makes the slot's link run `program`. False: it did already.
Result<bool> ensure_link(const fs::path& folder, uint32_t interface, const Slot& slot, int program) {
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

std::string why_not_xdp(const Interface& interface, int number) {
    if (number == EBUSY) return fmt::format("another XDP program is attached to {}; using tc", interface.name);
    if (number == EOPNOTSUPP) return fmt::format("the driver of {} has no native XDP", interface.name);
    return fmt::format("the driver of {} rejected XDP ({})", interface.name, strerror(number));
}

// What was asked of programs that were here before is no question to these.
void forget_runs(const DataPath& data_path, uint32_t interface) {
    for (uint32_t direction = 0; direction < KUDO_DIRECTIONS; direction++) {
        const uint32_t element = interface % KUDO_INTERFACES * KUDO_DIRECTIONS + direction;
        const kudo_run none{};
        bpf_map_update_elem(data_path.maps().runs.get(), &element, &none, BPF_ANY);
    }
}

Program counting_ingress(const Interface& interface) {
    return interface.link == KUDO_LINK_ETHERNET ? Program::TcIngress : Program::IpTcIngress;
}
Program egress_program(const Interface& interface) {
    return interface.link == KUDO_LINK_ETHERNET ? Program::TcEgress : Program::IpTcEgress;
}

bool is_ingress(const Slot& slot) {
    return slot.type == bpf_tcx_ingress;
}

// Others' programs on a tcx hook that run before this one; 0: all of them.
std::vector<uint32_t> others_before(uint32_t interface, bool ingress, uint32_t program = 0) {
    auto programs = tcx_programs(interface, ingress);
    programs.erase(std::ranges::find(programs, program), programs.end());
    std::erase_if(programs, is_kudo_tc_program);
    return programs;
}

// Moves the slot's link to the head of its chain. The same program cannot be there twice (kernel/bpf/mprog.c), so it is
// away for a moment.
Result<bool> move_to_head(const fs::path& folder, uint32_t interface, const Slot& slot, int program) {
    if (others_before(interface, is_ingress(slot), program_id(program)).empty()) return false;
    KUDO_TRY(remove_link(folder, interface, slot));
    return ensure_link(folder, interface, slot, program);
}

Result<bool> move_filter_to_front(const fs::path& folder, const ClsactHook& hook, int program, uint32_t handle) {
    const ClsactFilter filter = KUDO_TRY(read_clsact(folder, hook));
    if (filter.in_front.empty() || !filter.may_be_moved_to_front) return false;
    KUDO_TRY(clsact_remove_filter(folder, hook));
    KUDO_TRY(clsact_attach(folder, hook, program, handle));
    return true;
}

// tcx where the kernel has it and the administrator does not say otherwise, else clsact.
Result<Hook> attach_tc(DataPath& data_path, const Interface& interface, const Slot& slot, Program which,
                       const AttachOptions& options, AttachResult& result) {
    const fs::path& folder = data_path.folder();
    const Fd program = KUDO_TRY(data_path.program(which));
    const ClsactHook hook{interface.index, is_ingress(slot)};
    if (options.tc_hook != TcHook::Clsact) {
        auto linked = ensure_link(folder, interface.index, slot, program.get());
        if (linked) {
            result.changed |= *linked;
            result.changed |= KUDO_TRY(clsact_remove_filter(folder, hook));
            if (options.to_front) result.moved |= KUDO_TRY(move_to_head(folder, interface.index, slot, program.get()));
            return Hook::Tcx;
        }
        // A kernel before 6.6 does not know the attach type.
        if (options.tc_hook == TcHook::Tcx || (linked.error().number != EINVAL && linked.error().number != EOPNOTSUPP))
            return fail(std::move(linked.error()).in("tcx"));
    }
    const uint32_t handle = filter_handle(data_path.instance());
    const ClsactFilter present = KUDO_TRY(read_clsact(folder, hook));
    if (present.program != program_id(program.get()) || !present.once) {
        KUDO_TRY(clsact_attach(folder, hook, program.get(), handle));
        result.changed = true;
    }
    if (options.to_front) result.moved |= KUDO_TRY(move_filter_to_front(folder, hook, program.get(), handle));
    result.changed |= KUDO_TRY(remove_link(folder, interface.index, slot));
    return Hook::Tc;
}

} // namespace

std::string_view hook_name(Hook hook) {
    static constexpr std::string_view names[] = {"xdp-native", "xdp-generic", "tcx", "tc"};
    return names[static_cast<std::size_t>(hook)];
}

Result<AttachResult> attach(DataPath& data_path, const Interface& interface, const AttachOptions& options) {
    AttachResult result;
    const auto tc = [&](const Slot& slot, Program which, const char* what) -> Result<Hook> {
        return attach_tc(data_path, interface, slot, which, options, result).in(interface.name + ": " + what);
    };
    // True if the interface has this kind of XDP now; else the reason is noted, unless there is one already.
    const auto xdp = [&](const Slot& slot, Program which, const char* what) -> Result<bool> {
        const Fd program = KUDO_TRY(data_path.program(which).in(interface.name + ": " + what));
        const auto changed = ensure_link(data_path.folder(), interface.index, slot, program.get());
        if (changed) result.changed |= *changed;
        if (!changed && result.note.empty()) result.note = why_not_xdp(interface, changed.error().number);
        return changed.has_value();
    };
    // Egress first: an ingress packet's flow then never waits for its answer's mark.
    result.attached.egress = KUDO_TRY(tc(tcx_egress, egress_program(interface), "egress"));
    const bool ethernet = interface.link == KUDO_LINK_ETHERNET;
    if (!ethernet) result.note = fmt::format("{} has no Ethernet header; using tc", interface.name);

    // The new hook is attached before the old one goes, so that no packet passes unjudged.
    std::vector<const Slot*> unused;
    if (ethernet && KUDO_TRY(xdp(xdp_native, Program::Xdp, "XDP"))) {
        result.attached.ingress = Hook::XdpNative;
        unused = {&xdp_generic, &tcx_ingress};
        result.attached.marks_ingress = options.marks_ingress;
        if (options.marks_ingress) {
            KUDO_TRY(tc(tcx_mark, Program::TcIngressMark, "firewall mark"));
        } else {
            unused.push_back(&tcx_mark);
            result.changed |= KUDO_TRY(clsact_remove_filter(data_path.folder(), {interface.index, true}));
        }
    } else {
        result.attached.ingress = KUDO_TRY(tc(tcx_ingress, counting_ingress(interface), "ingress"));
        unused = {&xdp_native, &tcx_mark};
        if (ethernet && options.xdp_generic && KUDO_TRY(xdp(xdp_generic, Program::XdpGeneric, "generic XDP")))
            result.attached.ingress = Hook::XdpGeneric;
        else
            unused.push_back(&xdp_generic);
    }
    for (const Slot* slot : unused)
        result.changed |= KUDO_TRY(remove_link(data_path.folder(), interface.index, *slot));
    result.changed |= result.moved;
    if (result.changed) forget_runs(data_path, interface.index);
    return result;
}

Result<Attached> read_attached(DataPath& data_path, const Interface& interface) {
    Attached attached;
    const fs::path& folder = data_path.folder();
    const auto read_link = [&](const Slot& slot, Program which) -> Result<bool> {
        const auto link = KUDO_TRY(open_link(folder, interface.index, slot));
        if (!link) return false;
        const auto program = data_path.pinned_program(which);
        const uint32_t running = KUDO_TRY(link_info(link->get())).program_id;
        attached.current &= program && running == program_id(program->get());
        if (slot.type != BPF_XDP)
            for (const uint32_t other : others_before(interface.index, is_ingress(slot), running))
                attached.in_front.push_back(
                    fmt::format("{}: {}", is_ingress(slot) ? "ingress" : "egress", program_text(other)));
        return true;
    };
    // Which program our clsact filter runs; one of another build counts as the first.
    const auto read_filter = [&](bool ingress, std::initializer_list<Program> which) -> Result<std::optional<Program>> {
        const ClsactFilter filter = KUDO_TRY(read_clsact(folder, {interface.index, ingress}));
        if (filter.program == 0) return std::optional<Program>{};
        const char* side = ingress ? "ingress" : "egress";
        attached.current &= filter.once;
        for (const uint32_t other : others_before(interface.index, ingress)) // all of them run before clsact
            attached.in_front.push_back(fmt::format("{}: {} on tcx", side, program_text(other)));
        for (const std::string& other : filter.in_front)
            attached.in_front.push_back(fmt::format("{}: {}", side, other));
        for (const Program candidate : which) {
            auto program = data_path.pinned_program(candidate);
            if (program && filter.program == program_id(program->get())) return std::optional(candidate);
        }
        attached.current = false;
        return std::optional(*which.begin());
    };
    const bool native = KUDO_TRY(read_link(xdp_native, Program::Xdp));
    const bool generic = KUDO_TRY(read_link(xdp_generic, Program::XdpGeneric));
    const bool ingress_link = KUDO_TRY(read_link(tcx_ingress, counting_ingress(interface)));
    const bool mark_link = KUDO_TRY(read_link(tcx_mark, Program::TcIngressMark));
    const auto filter = KUDO_TRY(read_filter(true, {counting_ingress(interface), Program::TcIngressMark}));
    attached.marks_ingress = mark_link || filter || ingress_link;
    // A command was killed between attaching the new hook and removing the old one: some packets count twice.
    const int counting = native + ingress_link + (filter && filter != Program::TcIngressMark);
    if (counting > 1 || (native && generic)) attached.current = false;
    if (native)
        attached.ingress = Hook::XdpNative;
    else if (counting > 0)
        attached.ingress = generic ? Hook::XdpGeneric : ingress_link ? Hook::Tcx : Hook::Tc;
    const bool egress_link = KUDO_TRY(read_link(tcx_egress, egress_program(interface)));
    const bool egress_filter = KUDO_TRY(read_filter(false, {egress_program(interface)})).has_value();
    if (egress_link || egress_filter) attached.egress = egress_link ? Hook::Tcx : Hook::Tc;
    if (egress_link && egress_filter) attached.current = false;
    return attached;
}

Result<bool> detach(const fs::path& folder, uint32_t interface) {
    bool changed = false;
    for (const Slot* slot : slots)
        changed |= KUDO_TRY(remove_link(folder, interface, *slot));
    for (const ClsactHook& hook : clsact_hooks(folder)) {
        if (hook.interface != interface) continue;
        KUDO_TRY(clsact_detach(folder, hook));
        changed = true;
    }
    return changed;
}

std::vector<LinkInfo> pinned_links(const fs::path& folder) {
    std::vector<LinkInfo> links;
    std::error_code error;
    for (const auto& entry : fs::directory_iterator(folder / "links", error)) {
        const auto link = open_pin(entry.path());
        if (!link) continue;
        if (auto info = link_info(link->get())) links.push_back(*info);
    }
    return links;
}

std::set<uint32_t> attached_interfaces(const fs::path& folder) {
    std::set<uint32_t> interfaces;
    std::error_code error;
    for (const auto& entry : fs::directory_iterator(folder / "links", error))
        if (const auto number = interface_number(entry.path().filename().string())) interfaces.insert(*number);
    for (const ClsactHook& hook : clsact_hooks(folder))
        interfaces.insert(hook.interface);
    return interfaces;
}

} // namespace kudo
