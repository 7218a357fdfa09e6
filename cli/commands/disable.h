// SPDX-License-Identifier: MIT
// `kudo-agent disable`: removes what enable has set up, and restores the previous queues.
// Invariant: doing it twice is the same as once, and both are successes.
#pragma once

#include "cli/arguments/command.h"

namespace kudo {

Run setup_disable(CLI::App& app);

} // namespace kudo
