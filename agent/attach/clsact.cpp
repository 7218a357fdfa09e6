// SPDX-License-Identifier: MIT
#include "agent/attach/clsact.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/pkt_sched.h>
#include <sys/stat.h>

#include <algorithm>
#include <functional>
#include <set>

#include <fmt/format.h>

#include "agent/datapath/bpf_object.h"
#include "agent/netlink/interface_number.h"
#include "agent/netlink/tc_object.h"

namespace kudo {
namespace fs = std::filesystem;
namespace {

// A handle of our own, so that the filter is found again; priorities are tried from the first.
constexpr uint32_t handle = 0x4b55444f; // "KUDO"
constexpr uint32_t first_priority = 1, last_priority = 8;

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

bpf_tc_opts libbpf_options(uint32_t priority) {
    bpf_tc_opts options{};
    options.sz = sizeof options;
    options.handle = handle;
    options.priority = priority;
    return options;
}

struct Found {
    uint32_t priority = 0; // 0: we have no filter there
    uint32_t program = 0;
};

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

Found find_where(const ClsactHook& hook, const std::function<bool(uint32_t)>& is_ours) {
    const bpf_tc_hook where = libbpf_hook(hook);
    for (uint32_t priority = first_priority; priority <= last_priority; priority++) {
        bpf_tc_opts options = libbpf_options(priority);
        if (bpf_tc_query(&where, &options) == 0 && is_ours(options.prog_id)) return {priority, options.prog_id};
    }
    return {};
}

Found find(const fs::path& folder, const ClsactHook& hook) {
    if (!fs::exists(filter_marker(folder, hook))) return {};
    const std::set<uint32_t> ours = pinned_programs(folder);
    return find_where(hook, [&](uint32_t program) { return ours.contains(program); });
}

Result<void> remove_found(const ClsactHook& hook, const Found& found) {
    if (found.priority == 0) return {};
    const bpf_tc_hook where = libbpf_hook(hook);
    const bpf_tc_opts options = libbpf_options(found.priority);
    if (const int error = bpf_tc_detach(&where, &options); error != 0 && error != -ENOENT)
        return fail_errno("cannot remove kudo-agent's tc filter", -error);
    return {};
}

Result<bool> has_clsact(uint32_t interface) {
    const auto qdiscs = KUDO_TRY(list_qdiscs(interface));
    return std::ranges::find(qdiscs, "clsact", &TcObject::kind) != qdiscs.end();
}

// On either side of the clsact.
Result<bool> has_any_filter(uint32_t interface) {
    for (const uint32_t side : {TC_H_MIN_INGRESS, TC_H_MIN_EGRESS})
        if (KUDO_TRY(has_filters(interface, TC_H_MAKE(TC_H_CLSACT, side)))) return true;
    return false;
}

} // namespace

Result<uint32_t> clsact_program(const fs::path& folder, const ClsactHook& hook) {
    return find(folder, hook).program;
}

Result<void> ensure_clsact(const fs::path& folder, uint32_t interface) {
    bpf_tc_hook where = libbpf_hook({interface, true}, true);
    // Marked before it is made, and only where there is none: killed in between, the marker names one that is not
    // there, which does no harm, and never the administrator's.
    const fs::path marker = clsact_marker(folder, interface);
    const bool known = fs::exists(marker);
    if (!known && !KUDO_TRY(has_clsact(interface))) KUDO_TRY(mark(marker));
    const int created = bpf_tc_hook_create(&where);
    if (created == -EEXIST && !known) rmdir(marker.c_str());
    if (created != 0 && created != -EEXIST) return fail_errno("cannot create a clsact qdisc", -created);
    return {};
}

Result<void> clsact_attach(const fs::path& folder, const ClsactHook& hook, int program_fd) {
    KUDO_TRY(ensure_clsact(folder, hook.interface));
    KUDO_TRY(mark(filter_marker(folder, hook)));
    const bpf_tc_hook where = libbpf_hook(hook);
    const uint32_t present = find(folder, hook).priority;
    int error = 0;
    for (uint32_t priority = present ? present : first_priority; priority <= last_priority; priority++) {
        bpf_tc_opts options = libbpf_options(priority);
        options.prog_fd = program_fd;
        options.flags = present ? BPF_TC_F_REPLACE : 0;
        error = bpf_tc_attach(&where, &options);
        // EINVAL, EEXIST: another filter, of another kind or with our handle, has this priority.
        if (error != -EINVAL && error != -EEXIST) break;
    }
    if (error != 0) return fail_errno("cannot attach a tc filter", -error);
    return {};
}

Result<bool> clsact_remove_filter(const fs::path& folder, const ClsactHook& hook) {
    const Found found = find(folder, hook);
    if (found.priority == 0) return false; // or it cannot be seen now: the marker stays for the next look
    KUDO_TRY(remove_found(hook, found));
    rmdir(filter_marker(folder, hook).c_str());
    return true;
}

Result<void> clsact_remove_orphan(const ClsactHook& hook) {
    int number = 0;
    const Found found = find_where(hook, [&](uint32_t program) {
        const Fd fd(bpf_prog_get_fd_by_id(program));
        if (!fd) number = errno;
        bpf_prog_info info{};
        uint32_t size = sizeof info;
        return fd && bpf_obj_get_info_by_fd(fd.get(), &info, &size) == 0 &&
               std::string_view(info.name).starts_with("kudo_");
    });
    if (found.priority == 0 && number == EPERM)
        return fail(Error{
            ErrorKind::NotPermitted,
            fmt::format("interface #{}: a tc filter may be kudo-agent's; missing CAP_SYS_ADMIN to read its name, run "
                        "as root",
                        hook.interface),
            number});
    return remove_found(hook, found);
}

Result<void> clsact_detach(const fs::path& folder, const ClsactHook& hook) {
    KUDO_TRY(clsact_remove_filter(folder, hook));
    rmdir(filter_marker(folder, hook).c_str());
    const ClsactHook other{hook.interface, !hook.ingress};
    if (!fs::exists(clsact_marker(folder, hook.interface)) || fs::exists(filter_marker(folder, other))) return {};

    auto others = has_any_filter(hook.interface);
    if (others && !*others) {
        bpf_tc_hook both = libbpf_hook(hook, true);
        if (const int error = bpf_tc_hook_destroy(&both);
            error != 0 && error != -ENOENT && error != -EINVAL && error != -ENODEV)
            return fail_errno("cannot remove the clsact qdisc that kudo-agent created", -error);
    }
    rmdir(clsact_marker(folder, hook.interface).c_str());
    return {};
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
