// SPDX-License-Identifier: MIT
// `kudo-agent version`: this program's version, and what the kernel under it offers.
// Invariant: reading only; what may not be asked is told as unknown.
#pragma once

#include "cli/arguments/command.h"

namespace kudo {

Run setup_version(CLI::App& app);

} // namespace kudo
