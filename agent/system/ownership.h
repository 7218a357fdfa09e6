// SPDX-License-Identifier: MIT
// Whose an instance's files and pins are, where the service runs as a user of its own and commands as root.
// Invariant: symbolic links are given away themselves, never what they lead to.
#pragma once

#include <sys/types.h>

#include "agent/system/instance.h"
#include "maps/base/result.h"

namespace kudo {

// Makes the state directory, and gives it, with all that is in it and the pins, to this user. As root only.
Result<void> give_instance_to(const Instance& instance, uid_t user, gid_t group);
// systemd mounts /sys/fs/bpf for root alone. Where the bpffs is root's group's, lets this group enter it instead: not
// read it, nor anybody else. As root only; what cannot be is left as it is.
void let_group_enter(const Instance& instance, gid_t group);
// After a command of root's: what that made goes to whom the state directory belongs to. Nothing to do for others.
void give_to_owner(const Instance& instance);

} // namespace kudo
