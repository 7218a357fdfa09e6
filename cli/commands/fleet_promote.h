// SPDX-License-Identifier: MIT
// `kudo-agent fleet promote`.
#pragma once

#include "cli/arguments/command.h"

namespace kudo {

Run setup_fleet_promote(CLI::App& app);

} // namespace kudo
