// SPDX-License-Identifier: MIT
// Which system calls a process may make from now on (libseccomp).
// Invariant: a call that this machine's kernel or C library does not know is left out of a list, never allowed by
// mistake. no_new_privs must be set.
#pragma once

#include "maps/base/result.h"

namespace kudo {

Result<void> filter_service(); // all but those that change the machine: EPERM
Result<void> filter_network(); // else the process ends (SIGSYS)
Result<void> filter_compute(); // else the process ends
// All but those that change files, other processes, interfaces by ioctl(2), xtables' rules, or anything in the kernel by
// bpf(2): EPERM, opening a file to write EACCES. What netlink changes is not refused.
Result<void> filter_reading();

} // namespace kudo
