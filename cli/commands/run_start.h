// SPDX-License-Identifier: MIT
// How `kudo-agent run` starts: what takes root comes first, then privileges are given up for good.
// Invariant: nothing here changes what packets are judged by but restore(), which makes the kernel as the saved state
// desires it.
#pragma once

#include <string>

#include "cli/arguments/command.h"
#include "maps/base/result.h"

namespace kudo {

// Mounts a bpffs that is missing, as after a reboot, if anything is enabled; makes the folder of the query socket where
// that is the default one; gives state and pins to the user and lets its group enter the bpffs; goes on as that user
// with the service's privileges alone. No user: root becomes whom the state directory belongs to, others stay who they
// are.
Result<void> give_up_privileges(const GlobalOptions& global, const std::string& user);
// `run --prepare`: only the first half of that. NotPermitted unless root.
Result<int> prepare_run(const GlobalOptions& global, const std::string& user);
// `run --restore`: reconciles once. Degraded where an interface is not there yet, or anything else is not as desired.
Result<int> restore(const GlobalOptions& global);

} // namespace kudo
