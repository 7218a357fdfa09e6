// SPDX-License-Identifier: MIT
// `kudo-agent explain`: what would happen to a packet, and by which line of which map.
// Invariant: read-only, and needs no capability: the built-in map replaces what may not be read, and the answer says
// so.
#pragma once

#include "cli/arguments/command.h"

namespace kudo {

Run setup_explain(CLI::App& app);

} // namespace kudo
