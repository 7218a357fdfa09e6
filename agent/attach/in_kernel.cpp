// SPDX-License-Identifier: MIT
#include "agent/attach/in_kernel.h"

#include <bpf/bpf.h>

#include <array>
#include <cstring>
#include <string_view>

#include <fmt/format.h>

namespace kudo {
namespace {

constexpr uint32_t link_type_xdp = 6, link_type_tcx = 11; // linux/bpf.h >= 6.6, enum bpf_link_type

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

std::vector<uint32_t> tcx_programs(uint32_t interface, bool ingress) {
    std::array<uint32_t, 128> ids{}; // more than BPF_MPROG_MAX
    auto count = static_cast<uint32_t>(ids.size());
    if (bpf_prog_query(static_cast<int>(interface), ingress ? bpf_tcx_ingress : bpf_tcx_egress, 0, nullptr, ids.data(),
                       &count) != 0)
        return {};
    return {ids.begin(), ids.begin() + std::min<std::size_t>(count, ids.size())};
}

bool is_kudo_tc_program(uint32_t id) {
    return program_name(id).starts_with(kudo_tc_names);
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
        if (info.type != link_type_xdp && info.type != link_type_tcx) continue;
        const Fd program(bpf_prog_get_fd_by_id(info.prog_id));
        if (program && instance != 0 && instance_of(program.get()) == instance)
            links.push_back({std::move(fd), id, info.xdp.ifindex, info.prog_id}); // tcx has it at the same place
    }
    if (errno == EPERM)
        return fail(Error{ErrorKind::NotPermitted, "missing CAP_SYS_ADMIN to list the kernel's BPF links", EPERM});
    return links;
}

uint32_t filter_handle(uint64_t instance) {
    return filter_handle_prefix | static_cast<uint32_t>(instance & ~filter_handle_mask);
}

} // namespace kudo
