// SPDX-License-Identifier: MIT
// Giving privileges up, for good (capabilities(7), prctl(2) PR_SET_NO_NEW_PRIVS, seccomp(2)).
// Invariant: nothing given up here comes back, in this process or in any that it starts.
#pragma once

#include <optional>
#include <string>

#include <sys/types.h>

#include "maps/base/result.h"

namespace kudo {

struct ServiceUser {
    uid_t user = 0;
    gid_t group = 0;
};
// Nothing: no name. BadInput: there is no user of that name.
Result<std::optional<ServiceUser>> find_service_user(const std::string& name);

// For the service: this user (nothing: stays the same), its group and no others; of all capabilities only CAP_BPF,
// CAP_NET_ADMIN and CAP_PERFMON, as far as they are there; no new privileges; and none of the system calls that change
// the machine itself (modules, mounts, clocks, other processes' memory: EPERM). NotPermitted: it is another user's
// process, without CAP_SETUID and CAP_SETGID.
Result<void> keep_service_privileges(const std::optional<ServiceUser>& user);

// What a process that reads bytes of others may do.
enum class Confinement {
    Network, // read files, connect, resolve names, start threads
    Compute, // read and write what is open, and take memory
    Reading, // what the service may, but change no file and nothing by bpf(2): for one that shows what the service sees
};
// No new privileges. Network and Compute: no capability, and a filter that ends the process at any other system call.
// Reading: the capabilities stay: opening BPF maps takes CAP_BPF, reading firewall rules CAP_NET_ADMIN. Of this thread
// and those that it starts: call it before there are others.
Result<void> confine(Confinement confinement);

} // namespace kudo
