// SPDX-License-Identifier: MIT
// Checks of this host itself: kernel, capabilities, settings.
#pragma once

#include "agent/doctor/check.h"
#include "agent/doctor/subject.h"

namespace kudo {

// CAP_BPF, CAP_NET_ADMIN, CAP_PERFMON. Fails for root without them (a container); other users are told to be root.
CheckReport check_privileges(const Subject& subject);
// Programs at tc, and from Linux 5.10 on, which is the oldest that tests/kernels loads them under.
CheckReport check_kernel(const Subject& subject);
// The kernel's own types, by which its drops are counted.
CheckReport check_btf(const Subject& subject);
// A file system for pins.
CheckReport check_bpffs(const Subject& subject);
// Are BPF programs compiled to machine code?
CheckReport check_jit(const Subject& subject);
// net.core.rmem_default and rmem_max against the 212,992 bytes that kernels come with.
CheckReport check_socket_buffers(const Subject& subject);
// How full the connection table is.
CheckReport check_conntrack(const Subject& subject);
// How long a silent UDP flow stays in it.
CheckReport check_conntrack_timeouts(const Subject& subject);

} // namespace kudo
