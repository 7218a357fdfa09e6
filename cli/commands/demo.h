// SPDX-License-Identifier: MIT
// `kudo-agent demo`: enable, real traffic both ways, stats, disable, all in private namespaces: nothing of the
// machine's own network, bpffs or state is touched.
// Invariant: the commands that it shows are the code that those commands run; nothing is staged but the place.
#pragma once

#include "cli/arguments/command.h"

namespace kudo {

Run setup_demo(CLI::App& app);

} // namespace kudo
