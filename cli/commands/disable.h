// SPDX-License-Identifier: MIT
// `kudo-agent disable`.
#pragma once

#include "cli/arguments/command.h"

namespace kudo {

Run setup_disable(CLI::App& app);

} // namespace kudo
