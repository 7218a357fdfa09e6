// SPDX-License-Identifier: MIT
// `kudo-agent enable`: sets the desired state and applies it.
// Invariant: declarative: what is not named goes to its default, but the applied range map stays.
#pragma once

#include "cli/arguments/command.h"

namespace kudo {

Run setup_enable(CLI::App& app);

} // namespace kudo
