// SPDX-License-Identifier: MIT
// `kudo-agent enable`.
#pragma once

#include "cli/arguments/command.h"

namespace kudo {

Run setup_enable(CLI::App& app);

} // namespace kudo
