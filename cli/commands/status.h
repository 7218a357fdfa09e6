// SPDX-License-Identifier: MIT
// `kudo-agent status`: desired against actual.
// Invariant: the answer is printed whatever the exit status is.
#pragma once

#include "cli/arguments/command.h"

namespace kudo {

Run setup_status(CLI::App& app);

} // namespace kudo
