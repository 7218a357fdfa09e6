// SPDX-License-Identifier: MIT
// `kudo-agent ranges rollback`.
#pragma once

#include "cli/arguments/command.h"

namespace kudo {

Run setup_ranges_rollback(CLI::App& app);

} // namespace kudo
