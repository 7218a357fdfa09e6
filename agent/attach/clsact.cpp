// SPDX-License-Identifier: MIT
#include "agent/attach/clsact.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/pkt_cls.h>
#include <linux/pkt_sched.h>
#include <sys/stat.h>

#include <algorithm>
#include <set>

#include <fmt/format.h>

#include "agent/attach/in_kernel.h"
#include "agent/datapath/bpf_object.h"
#include "agent/datapath/pin_folder.h"
#include "agent/netlink/interface_number.h"
#include "agent/netlink/tc_object.h"

namespace kudo {
namespace fs = std::filesystem;
namespace {

// Priorities (tc's preferences) are tried from the first.
constexpr uint32_t first_priority = 1, last_priority = 8;
// An empty chain on a clsact's ingress side says that kudo-agent made it, whatever becomes of the pins.
constexpr uint32_t clsact_chain = 0x04b5544f;
constexpr uint32_t ingress_parent = TC_H_MAKE(TC_H_CLSACT, TC_H_MIN_INGRESS);

// "3_ingress" and "3_egress" say that we have a filter there, "3_clsact" that we made the clsact.
fs::path markers(const fs::path& folder) {
    return folder / "filters";
}
fs::path filter_marker(const fs::path& folder, const ClsactHook& hook) {
    return markers(folder) / fmt::format("{}_{}", hook.interface, hook.ingress ? "ingress" : "egress");
}
fs::path clsact_marker(const fs::path& folder, uint32_t interface) {
    return markers(folder) / fmt::format("{}_clsact", interface);
}

Result<void> mark(const fs::path& path) {
    if (mkdir(path.c_str(), 0700) != 0 && errno != EEXIST) return fail_errno(path.string());
    return {};
}

// libbpf wants the padding to be zero as well.
bpf_tc_hook libbpf_hook(const ClsactHook& hook, bool both = false) {
    bpf_tc_hook result{};
    result.sz = sizeof result;
    result.ifindex = static_cast<int>(hook.interface);
    const int side = hook.ingress ? BPF_TC_INGRESS : BPF_TC_EGRESS;
    result.attach_point = static_cast<bpf_tc_attach_point>(both ? BPF_TC_INGRESS | BPF_TC_EGRESS : side);
    return result;
}

bpf_tc_opts libbpf_options(uint32_t priority, uint32_t handle) {
    bpf_tc_opts options{};
    options.sz = sizeof options;
    options.handle = handle;
    options.priority = priority;
    return options;
}

uint32_t parent_of(const ClsactHook& hook) {
    return TC_H_MAKE(TC_H_CLSACT, hook.ingress ? TC_H_MIN_INGRESS : TC_H_MIN_EGRESS);
}

uint32_t program_of(const TcFilter& filter) {
    return filter.kind == "bpf" ? read_attribute<uint32_t>(filter.options, TCA_BPF_ID).value_or(0) : 0;
}
// As libbpf names it: its program's name, and "[id]".
std::string name_of(const TcFilter& filter) {
    const auto bytes = find_attribute(filter.options, TCA_BPF_NAME);
    return {bytes.begin(), std::find(bytes.begin(), bytes.end(), 0)};
}

// The data path's programs, this build's and older ones'.
std::set<uint32_t> pinned_programs(const fs::path& folder) {
    std::set<uint32_t> ids;
    std::error_code error;
    for (const auto& build : fs::directory_iterator(folder, error)) {
        if (!build.path().filename().string().starts_with("programs_")) continue;
        for (const auto& entry : fs::directory_iterator(build.path(), error))
            if (auto program = open_pin(entry.path())) ids.insert(program_id(program->get()));
    }
    return ids;
}

// The qdisc at the place that clsact and ingress share; empty: none.
Result<std::string> ingress_qdisc(uint32_t interface) {
    const auto qdiscs = KUDO_TRY(list_qdiscs(interface));
    const auto found = std::ranges::find(qdiscs, TC_H_CLSACT, &TcObject::parent);
    return found == qdiscs.end() ? std::string() : found->kind;
}

// All filters there, and which are ours: one, or with what a lost marker has led to, more.
struct Found {
    std::vector<TcFilter> filters;
    std::vector<std::size_t> ours;
    [[nodiscard]] bool any() const { return !ours.empty(); }
    [[nodiscard]] const TcFilter& first() const { return filters[ours.front()]; }
};
Result<Found> find(const fs::path& folder, const ClsactHook& hook) {
    Found found;
    // An ingress qdisc shows the filters of ingress at whatever parent they are asked for (net/sched/sch_ingress.c).
    if (!hook.ingress && KUDO_TRY(ingress_qdisc(hook.interface)) == "ingress") return found;
    found.filters = KUDO_TRY(list_filters(hook.interface, parent_of(hook)));
    const std::set<uint32_t> programs = pinned_programs(folder);
    const uint64_t instance = instance_of_layout(folder);
    // By its program's pin; one whose pin is lost by the instance's handle.
    const auto is_ours = [&](const TcFilter& filter) {
        if ((filter.handle & filter_handle_mask) != filter_handle_prefix) return false;
        return programs.contains(program_of(filter)) || (instance != 0 && filter.handle == filter_handle(instance) &&
                                                         name_of(filter).starts_with(kudo_tc_names));
    };
    for (std::size_t i = 0; i < found.filters.size(); i++)
        if (is_ours(found.filters[i])) found.ours.push_back(i);
    return found;
}

constexpr const char* no_egress =
    "an ingress qdisc stands where clsact would be, and has no egress; remove it (tc qdisc del dev IF ingress), or let "
    "enable use tcx (--tc-hook auto, kernel 6.6 or later)";

// On either side of the clsact.
Result<bool> has_any_filter(uint32_t interface) {
    for (const uint32_t side : {TC_H_MIN_INGRESS, TC_H_MIN_EGRESS})
        if (KUDO_TRY(has_filters(interface, TC_H_MAKE(TC_H_CLSACT, side)))) return true;
    return false;
}

// The clsact, if we made it and nobody has filters there. True if it was removed.
Result<bool> remove_own_clsact(uint32_t interface, bool known) {
    if (KUDO_TRY(ingress_qdisc(interface)) != "clsact") return false;
    if (!known && !KUDO_TRY(has_chain(interface, ingress_parent, clsact_chain))) return false;
    if (KUDO_TRY(has_any_filter(interface))) return false;
    bpf_tc_hook both = libbpf_hook({interface, true}, true);
    if (const int error = bpf_tc_hook_destroy(&both);
        error != 0 && error != -ENOENT && error != -EINVAL && error != -ENODEV)
        return fail_errno("cannot remove the clsact qdisc that kudo-agent created", -error);
    return true;
}

} // namespace

Result<ClsactFilter> read_clsact(const fs::path& folder, const ClsactHook& hook) {
    const Found found = KUDO_TRY(find(folder, hook));
    ClsactFilter result;
    if (!found.any()) return result;
    result.program = program_of(found.first());
    result.once = found.ours.size() == 1;
    // At one preference the newest bpf filter runs first.
    result.may_be_moved_to_front = true;
    for (std::size_t i = 0; i < found.ours.front(); i++) {
        const TcFilter& other = found.filters[i];
        const std::string name = name_of(other);
        if (is_kudo_tc_program(program_of(other))) continue; // another instance's
        result.in_front.push_back(
            fmt::format("{} filter{} at preference {}", other.kind, name.empty() ? "" : " " + name, other.preference));
        result.may_be_moved_to_front &= other.preference > first_priority || other.kind == "bpf";
    }
    return result;
}

Result<void> ensure_clsact(const fs::path& folder, const ClsactHook& hook) {
    // Marked before it is made, and only where there is none: killed in between, the marker names one that is not
    // there, which does no harm, and never the administrator's.
    const fs::path marker = clsact_marker(folder, hook.interface);
    const bool known = fs::exists(marker);
    std::string present = KUDO_TRY(ingress_qdisc(hook.interface));
    if (present.empty()) {
        KUDO_TRY(mark(marker));
        bpf_tc_hook where = libbpf_hook(hook, true);
        const int created = bpf_tc_hook_create(&where);
        if (created == -EEXIST && !known) rmdir(marker.c_str());
        if (created != 0 && created != -EEXIST) return fail_errno("cannot create a clsact qdisc", -created);
        if (created == 0) KUDO_TRY(add_chain(hook.interface, ingress_parent, clsact_chain));
        if (created == -EEXIST) present = KUDO_TRY(ingress_qdisc(hook.interface));
    }
    if (present != "ingress") return {};
    if (known) rmdir(marker.c_str()); // ours has been replaced
    if (hook.ingress) return {};
    return fail(no_egress, EEXIST);
}

std::string clsact_obstacle(const ClsactHook& hook) {
    const auto present = ingress_qdisc(hook.interface);
    return !hook.ingress && present && *present == "ingress" ? no_egress : "";
}

Result<void> clsact_attach(const fs::path& folder, const ClsactHook& hook, int program_fd, uint32_t handle) {
    KUDO_TRY(ensure_clsact(folder, hook));
    KUDO_TRY(mark(filter_marker(folder, hook)));
    const bpf_tc_hook where = libbpf_hook(hook);
    const Found present = KUDO_TRY(find(folder, hook));
    for (std::size_t i = 1; i < present.ours.size(); i++)
        KUDO_TRY(remove_filter(hook.interface, parent_of(hook), present.filters[present.ours[i]]));
    int error = 0;
    for (uint32_t priority = first_priority; priority <= last_priority; priority++) {
        bpf_tc_opts options = libbpf_options(priority, handle);
        if (present.any()) {
            options = libbpf_options(present.first().preference, present.first().handle);
            options.flags = BPF_TC_F_REPLACE;
        }
        options.prog_fd = program_fd;
        error = bpf_tc_attach(&where, &options);
        // EINVAL, EEXIST: another filter, of another kind or with our handle, has this priority.
        if (present.any() || (error != -EINVAL && error != -EEXIST)) break;
    }
    if (error != 0) return fail_errno("cannot attach a tc filter", -error);
    return {};
}

Result<bool> clsact_remove_filter(const fs::path& folder, const ClsactHook& hook) {
    const Found found = KUDO_TRY(find(folder, hook));
    if (!found.any()) return false; // or it cannot be seen now: the marker stays for the next look
    for (const std::size_t ours : found.ours)
        KUDO_TRY(remove_filter(hook.interface, parent_of(hook), found.filters[ours]));
    rmdir(filter_marker(folder, hook).c_str());
    return true;
}

Result<bool> clsact_remove_orphans(const ClsactHook& hook, uint32_t handle) {
    bool any = false;
    for (const TcFilter& filter : KUDO_TRY(list_filters(hook.interface, parent_of(hook)))) {
        const bool ours = filter.handle == handle || filter.handle == filter_handle_of_all;
        if (!ours || !name_of(filter).starts_with("kudo_")) continue;
        KUDO_TRY(remove_filter(hook.interface, parent_of(hook), filter));
        any = true;
    }
    return any;
}

Result<void> clsact_detach(const fs::path& folder, const ClsactHook& hook) {
    KUDO_TRY(clsact_remove_filter(folder, hook));
    rmdir(filter_marker(folder, hook).c_str());
    const ClsactHook other{hook.interface, !hook.ingress};
    if (fs::exists(filter_marker(folder, other))) return {};
    KUDO_TRY(remove_own_clsact(hook.interface, fs::exists(clsact_marker(folder, hook.interface))));
    rmdir(clsact_marker(folder, hook.interface).c_str());
    return {};
}

Result<bool> clsact_remove_orphaned_qdisc(uint32_t interface) {
    return remove_own_clsact(interface, false);
}

std::vector<ClsactHook> clsact_hooks(const fs::path& folder) {
    std::vector<ClsactHook> hooks;
    std::error_code error;
    for (const auto& entry : fs::directory_iterator(markers(folder), error)) {
        const std::string name = entry.path().filename();
        const auto interface = interface_number(name);
        if (!interface) continue;
        if (name.ends_with("_ingress") || name.ends_with("_egress"))
            hooks.push_back({*interface, name.ends_with("_ingress")});
        else if (name.ends_with("_clsact")) // killed between making it and the filter
            hooks.push_back({*interface, true});
    }
    return hooks;
}

} // namespace kudo
