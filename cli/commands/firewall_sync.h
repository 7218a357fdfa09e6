// SPDX-License-Identifier: MIT
// `kudo-agent firewall sync`: nftables sets that stay equal to the policy in effect.
// Invariant: a part of the desired state; doing it twice is the same as once.
#pragma once

#include "cli/arguments/command.h"

namespace kudo {

Run setup_firewall_sync(CLI::App& app);

} // namespace kudo
