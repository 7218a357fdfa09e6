// SPDX-License-Identifier: MIT
#include "tests/support/foreign_program.h"

#include <bpf/bpf.h>
#include <linux/if_link.h>
#include <net/if.h>

#include <stdexcept>

#include "tests/support/test_host.h"

namespace kudo::test {
namespace {

Fd attach(const NetworkNamespace& space, const std::string& interface, const Fd& program, int type, uint32_t flags) {
    return inside<Fd>(space, [&] {
        LIBBPF_OPTS(bpf_link_create_opts, options);
        options.flags = flags;
        return Fd(bpf_link_create(program.get(), static_cast<int>(if_nametoindex(interface.c_str())),
                                  static_cast<bpf_attach_type>(type), &options));
    });
}

} // namespace

Fd foreign_program(bpf_prog_type type, int verdict, const char* name) {
    bpf_insn code[2] = {};
    code[0].code = BPF_ALU64 | BPF_MOV | BPF_K;
    code[0].imm = verdict;
    code[1].code = BPF_JMP | BPF_EXIT;
    Fd program(bpf_prog_load(type, name, "GPL", code, 2, nullptr));
    if (!program) throw std::runtime_error("cannot load a foreign program");
    return program;
}

Fd attach_foreign_tcx(const NetworkNamespace& space, const std::string& interface, TcSide side, int verdict,
                      bool in_front, const char* name) {
    constexpr uint32_t before = 1U << 3; // BPF_F_BEFORE
    return attach(space, interface, foreign_program(BPF_PROG_TYPE_SCHED_CLS, verdict, name),
                  side == TcSide::Ingress ? 46 : 47, in_front ? before : 0);
}

Fd attach_foreign_xdp(const NetworkNamespace& space, const std::string& interface, int verdict) {
    return attach(space, interface, foreign_program(BPF_PROG_TYPE_XDP, verdict), BPF_XDP, XDP_FLAGS_DRV_MODE);
}

} // namespace kudo::test
