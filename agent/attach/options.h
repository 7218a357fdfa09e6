// SPDX-License-Identifier: MIT
// How the programs are to be attached.
#pragma once

namespace kudo {

// Which kind of tc hook to use.
enum class TcHook { Auto, Tcx, Clsact };

struct AttachOptions {
    TcHook tc_hook = TcHook::Auto;
    bool xdp_generic = false;   // fall back to generic XDP before tc
    bool to_front = true;       // where another program has come before ours, ours goes before it again
    bool marks_ingress = false; // incoming packets need a tc program in addition to the XDP program that counts them
};

} // namespace kudo
