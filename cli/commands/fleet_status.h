// SPDX-License-Identifier: MIT
// `kudo-agent fleet status`.
#pragma once

#include "cli/arguments/command.h"

namespace kudo {

Run setup_fleet_status(CLI::App& app);

} // namespace kudo
