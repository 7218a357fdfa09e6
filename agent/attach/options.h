// SPDX-License-Identifier: MIT
// How the programs are to be attached.
#pragma once

#include <string_view>

#include "bpf/abi.h"

namespace kudo {

// Which kind of tc hook to use.
enum class TcHook { Auto, Tcx, Clsact };

// Which hook judges incoming packets.
enum class IngressHook { Auto, Tc, Xdp };
constexpr std::string_view ingress_hook_name(IngressHook hook) {
    return hook == IngressHook::Auto ? "auto" : hook == IngressHook::Tc ? "tc" : "xdp";
}

// The one place where it is decided whether that is XDP. Native XDP is in front of everything that a packet costs, but
// takes offloads away from all packets (docs/kernels.md, "What XDP costs"): it pays where packets are dropped, which is
// in mode enforce. `generic`: --xdp-generic asks for XDP of either kind.
constexpr bool uses_xdp(IngressHook hook, kudo_mode mode, bool generic) {
    return hook == IngressHook::Auto ? generic || mode == KUDO_ENFORCE : hook == IngressHook::Xdp;
}

struct AttachOptions {
    TcHook tc_hook = TcHook::Auto;
    bool xdp = false;             // uses_xdp(); where that cannot be, tc takes its place
    bool xdp_generic = false;     // fall back to generic XDP before tc
    bool to_front = true;         // where another program has come before ours, ours goes before it again
    bool marks_ingress = false;   // incoming packets need a tc program in addition to the XDP program that counts them
    bool drops = false;           // mode enforce: incoming packets are judged only where outgoing ones are
    bool explains_refusal = true; // ask the kernel for its words where it refuses XDP: see why_xdp_is_refused()
};

} // namespace kudo
