// SPDX-License-Identifier: MIT
// `kudo-agent fleet publish`.
#pragma once

#include "cli/arguments/command.h"

namespace kudo {

Run setup_fleet_publish(CLI::App& app);

} // namespace kudo
