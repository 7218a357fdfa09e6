// SPDX-License-Identifier: MIT
#include "agent/datapath/bpf_object.h"

#include <bpf/bpf.h>

#include <cstring>

#include <fmt/format.h>

namespace kudo {

Result<Fd> open_pin(const std::filesystem::path& path) {
    const int fd = bpf_obj_get(path.c_str());
    if (fd >= 0) return Fd(fd);
    const int number = errno;
    return fail(Error{number == EACCES || number == EPERM ? ErrorKind::NotPermitted : ErrorKind::Failed,
                      fmt::format("{}: cannot open the pinned object: {}", path.string(), strerror(number)), number});
}

Result<void> pin(int fd, const std::filesystem::path& path) {
    if (bpf_obj_pin(fd, path.c_str()) != 0) return fail_errno(path.string() + ": cannot pin");
    return {};
}

uint32_t program_id(int program_fd) {
    bpf_prog_info info{};
    uint32_t size = sizeof info;
    return bpf_obj_get_info_by_fd(program_fd, &info, &size) == 0 ? info.id : 0;
}

Result<uint32_t> map_size(int map_fd) {
    bpf_map_info info{};
    uint32_t size = sizeof info;
    if (bpf_obj_get_info_by_fd(map_fd, &info, &size) != 0) return fail_errno("cannot read a map's size");
    return info.max_entries;
}

Result<LinkInfo> link_info(int link_fd) {
    // linux/bpf.h of Debian 12 (6.1) does not know tcx; its ifindex stands where XDP's does (6.6, struct
    // bpf_link_info).
    bpf_link_info info{};
    uint32_t size = sizeof info;
    if (bpf_obj_get_info_by_fd(link_fd, &info, &size) != 0) return fail_errno("cannot read a link");
    return LinkInfo{info.prog_id, info.xdp.ifindex};
}

} // namespace kudo
