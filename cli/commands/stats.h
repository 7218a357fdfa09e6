// SPDX-License-Identifier: MIT
// `kudo-agent stats`: the counters, once or repeatedly.
// Invariant: --watch ends with SIGINT or SIGTERM and is then a success.
#pragma once

#include "cli/arguments/command.h"

namespace kudo {

Run setup_stats(CLI::App& app);

} // namespace kudo
