// SPDX-License-Identifier: MIT
// Why the kernel refuses native XDP. The call that makes a BPF link gives an errno alone; its words it gives to a
// tracepoint (bpf_xdp_link_attach_failed, from 6.6), and to rtnetlink on every kernel that has XDP links.
// Invariant: nothing is attached afterwards that was not before.
#pragma once

#include <cstdint>
#include <string>

namespace kudo {

// Asks rtnetlink to attach the program, which was just refused as a link, in the same mode and for the same reason:
// "Peer MTU is too large to set XDP (Numerical result out of range)". Should it be taken now, it is taken away again
// at once. Empty: it was taken, or the kernel said no more than the errno. Drivers check before they touch the device,
// but one that fails while it sets its rings up does so once more: so not for calls that nobody reads the answer of.
std::string why_xdp_is_refused(uint32_t interface, int program);

} // namespace kudo
