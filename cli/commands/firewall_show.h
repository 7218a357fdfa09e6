// SPDX-License-Identifier: MIT
// `kudo-agent firewall show`: the host firewall's rules for the map in effect.
// Invariant: reading only.
#pragma once

#include "cli/arguments/command.h"

namespace kudo {

Run setup_firewall_show(CLI::App& app);

} // namespace kudo
