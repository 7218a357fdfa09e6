// SPDX-License-Identifier: MIT
#include "agent/datapath/bpf_object.h"

#include <bpf/bpf.h>

#include <algorithm>
#include <cstring>
#include <vector>

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

uint32_t map_id(int map_fd) {
    bpf_map_info info{};
    uint32_t size = sizeof info;
    return bpf_obj_get_info_by_fd(map_fd, &info, &size) == 0 ? info.id : 0;
}

bool kernel_has_xdp_frags() {
    static const bool has = [] {
        bpf_insn code[2] = {};
        code[0].code = BPF_ALU64 | BPF_MOV | BPF_K;
        code[0].imm = XDP_PASS;
        code[1].code = BPF_JMP | BPF_EXIT;
        LIBBPF_OPTS(bpf_prog_load_opts, options, .prog_flags = BPF_F_XDP_HAS_FRAGS);
        return bool(Fd(bpf_prog_load(BPF_PROG_TYPE_XDP, "kudo_probe", "GPL", code, std::size(code), &options)));
    }();
    return has;
}

Result<void> for_each_entry(int map_fd, const std::string& what, std::size_t key_size, std::size_t value_size,
                            const std::function<void(const char* key, const char* value)>& visit) {
    const uint32_t batch = std::min<uint32_t>(KUDO_TRY(map_size(map_fd)), 16384);
    // Not cleared: most of them stay untouched, and are megabytes.
    const auto keys = std::make_unique_for_overwrite<char[]>(batch * key_size),
               values = std::make_unique_for_overwrite<char[]>(batch * value_size);
    uint32_t position = 0; // a bucket's number
    for (bool first = true, last = false; !last; first = false) {
        uint32_t count = batch;
        LIBBPF_OPTS(bpf_map_batch_opts, options);
        last = bpf_map_lookup_batch(map_fd, first ? nullptr : &position, &position, keys.get(), values.get(), &count,
                                    &options) != 0;
        if (last && errno != ENOENT) return fail_errno("cannot read " + what);
        for (uint32_t i = 0; i < count; i++)
            visit(&keys[i * key_size], &values[i * value_size]);
    }
    return {};
}

Result<LinkInfo> link_info(int link_fd) {
    // linux/bpf.h of Debian 12 (6.1) does not know tcx; its ifindex is where XDP's is (6.6, struct
    // bpf_link_info).
    bpf_link_info info{};
    uint32_t size = sizeof info;
    if (bpf_obj_get_info_by_fd(link_fd, &info, &size) != 0) return fail_errno("cannot read a link");
    return LinkInfo{info.id, info.prog_id, info.xdp.ifindex};
}

} // namespace kudo
