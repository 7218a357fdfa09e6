// SPDX-License-Identifier: MIT
#include "agent/attach/kernel_features.h"

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <linux/bpf.h>
#include <linux/magic.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <fstream>
#include <memory>
#include <string_view>

#include "agent/attach/in_kernel.h"
#include "agent/system/fd.h"

namespace kudo {
namespace {

// Newer than Debian 12's linux/bpf.h, or not in it.
constexpr unsigned has_frags = 1U << 5, live_frames = 1U << 1;

// The answer that lies in how a request failed.
std::optional<bool> answer(bool done, int number, int refused) {
    if (done) return true;
    if (number == EPERM || number == EACCES) return std::nullopt;
    return number != refused;
}

// "return VALUE" as a program.
Fd load(bpf_prog_type type, int value, unsigned flags = 0) {
    const std::array<bpf_insn, 2> code{
        bpf_insn{.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0, .src_reg = 0, .off = 0, .imm = value},
        bpf_insn{.code = BPF_JMP | BPF_EXIT, .dst_reg = 0, .src_reg = 0, .off = 0, .imm = 0}};
    LIBBPF_OPTS(bpf_prog_load_opts, options, .prog_flags = flags);
    return Fd(bpf_prog_load(type, "kudo_probe", "GPL", code.data(), code.size(), &options));
}

std::optional<bool> program(bpf_prog_type type, unsigned flags = 0) {
    const Fd loaded = load(type, 0, flags);
    return answer(static_cast<bool>(loaded), errno, EINVAL);
}

// The kernel's own types.
class Types {
public:
    Types() : types_(btf__load_vmlinux_btf()) {}
    // Has it an enum with this value?
    [[nodiscard]] std::optional<bool> has(const char* name, std::string_view value) const {
        if (!types_) return std::nullopt;
        const int id = btf__find_by_name_kind(types_.get(), name, BTF_KIND_ENUM);
        if (id < 0) return false;
        const btf_type* type = btf__type_by_id(types_.get(), static_cast<uint32_t>(id));
        const struct btf_enum* values = btf_enum(type);
        return std::any_of(values, values + btf_vlen(type),
                           [&](const auto& each) { return value == btf__name_by_offset(types_.get(), each.name_off); });
    }

private:
    struct Free {
        void operator()(btf* types) const { btf__free(types); }
    };
    std::unique_ptr<btf, Free> types_;
};

// One frame, which the program drops.
std::optional<bool> test_live_frames() {
    const Fd loaded = load(BPF_PROG_TYPE_XDP, XDP_DROP);
    if (!loaded) return answer(false, errno, EINVAL);
    std::array<char, 64> frame{};
    LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = frame.data(), .data_size_in = frame.size(), .repeat = 1,
                .flags = live_frames);
    const bool done = bpf_prog_test_run_opts(loaded.get(), &options) == 0;
    return answer(done, errno, EINVAL);
}

// Empty where it cannot be read: it is root's.
std::optional<bool> jit() {
    std::ifstream file("/proc/sys/net/core/bpf_jit_enable");
    int value = 0;
    if (!(file >> value)) return std::nullopt;
    return value != 0;
}

bool is_file(const char* path) {
    return access(path, F_OK) == 0;
}

bool knows_bpffs() {
    std::ifstream file("/proc/filesystems");
    for (std::string line; std::getline(file, line);)
        if (line.ends_with("\tbpf")) return true;
    return false;
}

// Network interface 1 is the loopback in every network namespace.
std::optional<bool> tcx() {
    if (has_tcx(1)) return true;
    return errno == EPERM || errno == EACCES ? std::nullopt : std::optional(false);
}

} // namespace

std::vector<KernelFeature> kernel_features() {
    const Types types;
    return {{"bpffs", knows_bpffs(), "programs and maps stay without a process"},
            {"btf", is_file("/sys/kernel/btf/vmlinux"), "what the host drops is counted"},
            {"drop_reasons", types.has("skb_drop_reason", "SKB_DROP_REASON_NOT_SPECIFIED"),
             "why the host drops, not only where"},
            {"jit", jit(), "programs are compiled"},
            {"tc", program(BPF_PROG_TYPE_SCHED_CLS), "programs at tc"},
            {"tcx", tcx(), "tc programs as links, before those of others; else clsact filters"},
            {"xdp", program(BPF_PROG_TYPE_XDP), "programs at XDP"},
            {"xdp_link", types.has("bpf_link_type", "BPF_LINK_TYPE_XDP"),
             "XDP programs as links, which nobody else replaces"},
            {"xdp_frags", program(BPF_PROG_TYPE_XDP, has_frags), "XDP with jumbo frames"},
            {"xdp_live_frames", test_live_frames(), "test frames through XDP; only tests need it"}};
}

} // namespace kudo
