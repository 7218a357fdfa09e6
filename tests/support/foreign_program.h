// SPDX-License-Identifier: MIT
// Programs of somebody else on an interface: they do nothing but give one verdict.
// Invariant: attached as long as the descriptor is open.
#pragma once

#include <linux/bpf.h>

#include <cstdint>
#include <string>

#include "agent/system/fd.h"
#include "agent/system/network_namespace.h"

namespace kudo::test {

// linux/bpf.h >= 6.6: TCX_NEXT lets the next program decide, TCX_PASS ends the chain.
inline constexpr int tcx_next = -1, tcx_pass = 0;
enum class TcSide { Ingress, Egress };

// One instruction of a program written by hand.
constexpr bpf_insn instruction(int code, uint8_t destination, uint8_t source, int16_t offset, int32_t immediate) {
    bpf_insn result{};
    result.code = static_cast<uint8_t>(code);
    result.dst_reg = destination & 15;
    result.src_reg = source & 15;
    result.off = offset;
    result.imm = immediate;
    return result;
}

Fd foreign_program(bpf_prog_type type, int verdict, const char* name = "somebodys");
// On tcx, before all others or behind them. No descriptor: it could not be attached.
Fd attach_foreign_tcx(const NetworkNamespace& space, const std::string& interface, TcSide side, int verdict,
                      bool in_front, const char* name = "somebodys");
// Native XDP. No descriptor: it could not be attached.
Fd attach_foreign_xdp(const NetworkNamespace& space, const std::string& interface, int verdict);

} // namespace kudo::test
