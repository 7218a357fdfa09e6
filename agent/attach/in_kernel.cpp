// SPDX-License-Identifier: MIT
#include "agent/attach/in_kernel.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/if_link.h>
#include <linux/pkt_sched.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <string_view>

#include <fmt/format.h>

#include "agent/netlink/tc_object.h"

namespace kudo {
namespace {

constexpr uint32_t link_type_tracepoint = 1, link_type_xdp = 6,
                   link_type_tcx = 11; // linux/bpf.h >= 6.6, enum bpf_link_type

constexpr std::string_view instance_map = ".rodata.instanc"; // as the kernel cuts the section's name
constexpr std::size_t max_maps = 64;

// Empty: it may not be read.
std::string program_name(uint32_t id) {
    const Fd fd(bpf_prog_get_fd_by_id(id));
    bpf_prog_info info{};
    uint32_t size = sizeof info;
    return fd && bpf_obj_get_info_by_fd(fd.get(), &info, &size) == 0 ? info.name : "";
}

// The number that a program of ours carries; 0: it carries none.
uint64_t instance_of(int program_fd) {
    std::array<uint32_t, max_maps> maps{};
    bpf_prog_info info{};
    info.nr_map_ids = maps.size();
    info.map_ids = reinterpret_cast<uintptr_t>(maps.data());
    uint32_t size = sizeof info;
    if (bpf_obj_get_info_by_fd(program_fd, &info, &size) != 0 || !std::string_view(info.name).starts_with("kudo_"))
        return 0;
    for (std::size_t i = 0; i < std::min<std::size_t>(info.nr_map_ids, maps.size()); i++) {
        const Fd map(bpf_map_get_fd_by_id(maps[i]));
        bpf_map_info about{};
        size = sizeof about;
        if (!map || bpf_obj_get_info_by_fd(map.get(), &about, &size) != 0 || instance_map != about.name ||
            about.value_size != sizeof(uint64_t))
            continue;
        const uint32_t key = 0;
        uint64_t number = 0;
        return bpf_map_lookup_elem(map.get(), &key, &number) == 0 ? number : 0;
    }
    return 0;
}

} // namespace

bool has_tcx(uint32_t interface) {
    uint32_t count = 0;
    return bpf_prog_query(static_cast<int>(interface), bpf_tcx_egress, 0, nullptr, nullptr, &count) == 0;
}

std::vector<uint32_t> tcx_programs(uint32_t interface, bool ingress) {
    std::array<uint32_t, 128> ids{}; // more than BPF_MPROG_MAX
    auto count = static_cast<uint32_t>(ids.size());
    if (bpf_prog_query(static_cast<int>(interface), ingress ? bpf_tcx_ingress : bpf_tcx_egress, 0, nullptr, ids.data(),
                       &count) != 0)
        return {};
    return {ids.begin(), ids.begin() + std::min<std::size_t>(count, ids.size())};
}

std::vector<HookProgram> programs_on(uint32_t interface) {
    std::vector<HookProgram> programs;
    for (const bool ingress : {true, false})
        for (const uint32_t id : tcx_programs(interface, ingress))
            programs.push_back({ingress ? "tcx ingress" : "tcx egress", id});
    uint32_t xdp = 0;
    if (bpf_xdp_query_id(static_cast<int>(interface), 0, &xdp) == 0 && xdp != 0) programs.push_back({"XDP", xdp});
    return programs;
}

XdpAttachment xdp_attachment(uint32_t interface) {
    XdpAttachment found;
    bpf_xdp_query_opts options{};
    options.sz = sizeof options;
    if (bpf_xdp_query(static_cast<int>(interface), 0, &options) != 0) return found;
    switch (options.attach_mode) {
    case XDP_ATTACHED_DRV:
        found.mode = "xdpdrv";
        break;
    case XDP_ATTACHED_SKB:
        found.mode = "xdpgeneric";
        break;
    case XDP_ATTACHED_HW:
        found.mode = "xdpoffload";
        break;
    default: // XDP_ATTACHED_MULTI: which of them is meant is not known
        return found;
    }
    uint32_t id = 0;
    while (bpf_link_get_next_id(id, &id) == 0) {
        const Fd fd(bpf_link_get_fd_by_id(id));
        bpf_link_info info{};
        uint32_t size = sizeof info;
        if (!fd && errno == EPERM) return found;
        if (fd && bpf_obj_get_info_by_fd(fd.get(), &info, &size) == 0 && info.type == link_type_xdp &&
            info.xdp.ifindex == interface && info.prog_id == options.prog_id)
            found.by_link = true;
    }
    if (errno == EPERM) return found;
    found.by_link = found.by_link.value_or(false);
    return found;
}

bool is_kudo_tc_program(uint32_t id) {
    const Fd program(bpf_prog_get_fd_by_id(id));
    return program && program_name(id).starts_with(kudo_tc_names) && instance_of(program.get()) != 0;
}

bool has_kudo_egress(uint32_t interface) {
    if (std::ranges::any_of(tcx_programs(interface, false), is_kudo_tc_program)) return true;
    const auto filters = list_filters(interface, TC_H_MAKE(TC_H_CLSACT, TC_H_MIN_EGRESS));
    return filters && std::ranges::any_of(*filters, [](const TcFilter& filter) {
               return filter.kind == "bpf" && (filter.handle & filter_handle_mask) == filter_handle_prefix;
           });
}

std::string program_text(uint32_t id) {
    const std::string name = program_name(id);
    return name.empty() ? fmt::format("#{}", id) : fmt::format("{} (#{})", name, id);
}

Result<std::vector<OwnLink>> find_own_links(uint64_t instance) {
    std::vector<OwnLink> links;
    uint32_t id = 0;
    while (bpf_link_get_next_id(id, &id) == 0) {
        Fd fd(bpf_link_get_fd_by_id(id));
        // Gone meanwhile, or of a command that is just making it: it has no number yet (kernel/bpf/syscall.c,
        // bpf_link_by_id).
        if (!fd && (errno == ENOENT || errno == EAGAIN)) continue;
        if (!fd) return fail_errno("cannot open a BPF link");
        bpf_link_info info{};
        uint32_t size = sizeof info;
        if (bpf_obj_get_info_by_fd(fd.get(), &info, &size) != 0) continue;
        const bool traces = info.type == link_type_tracepoint;
        if (!traces && info.type != link_type_xdp && info.type != link_type_tcx) continue;
        const uint32_t interface = traces ? 0 : info.xdp.ifindex; // tcx has it at the same place
        if (!traces && interface == 0) continue;                  // detached already
        const Fd program(bpf_prog_get_fd_by_id(info.prog_id));
        if (program && instance != 0 && instance_of(program.get()) == instance)
            links.push_back({std::move(fd), id, interface, info.prog_id, info.type == link_type_xdp});
    }
    if (errno == EPERM)
        return fail(Error{ErrorKind::NotPermitted, "missing CAP_SYS_ADMIN to list the kernel's BPF links", EPERM});
    return links;
}

Result<OtherInstance> other_instance_on(uint32_t interface, uint64_t instance) {
    bool unknown = false;
    for (const auto& [hook, id] : programs_on(interface)) {
        const Fd program(bpf_prog_get_fd_by_id(id));
        unknown |= !program && errno == EPERM;
        const uint64_t number = program ? instance_of(program.get()) : 0;
        if (number != 0 && number != instance) return OtherInstance::Yes;
    }
    for (const uint32_t side : {TC_H_MIN_INGRESS, TC_H_MIN_EGRESS})
        for (const TcFilter& filter : KUDO_TRY(list_filters(interface, TC_H_MAKE(TC_H_CLSACT, side))))
            if (filter.kind == "bpf" && (filter.handle & filter_handle_mask) == filter_handle_prefix &&
                filter.handle != filter_handle(instance) && filter.handle != filter_handle_of_all)
                return OtherInstance::Yes;
    return unknown ? OtherInstance::Unknown : OtherInstance::No;
}

uint32_t filter_handle(uint64_t instance) {
    return filter_handle_prefix | static_cast<uint32_t>(instance & ~filter_handle_mask);
}

} // namespace kudo
