// SPDX-License-Identifier: MIT
// `kudo-agent confirm`: keeps a mode enforce that was enabled with a deadline.
// Invariant: confirms only what is still in effect, and only from another session than it was asked for from.
#pragma once

#include "cli/arguments/command.h"

namespace kudo {

Run setup_confirm(CLI::App& app);

} // namespace kudo
