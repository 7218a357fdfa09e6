// SPDX-License-Identifier: MIT
// `kudo-agent demo`: a host, a KUDO media server and a stranger in private namespaces, real traffic, and what stats
// says of it.
// Invariant: nothing of the machine's own network, bpffs or state is touched.
#pragma once

#include "cli/arguments/command.h"

namespace kudo {

Run setup_demo(CLI::App& app);

} // namespace kudo
