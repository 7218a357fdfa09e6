// SPDX-License-Identifier: MIT
// `kudo-agent explain`.
#pragma once

#include "cli/arguments/command.h"

namespace kudo {

Run setup_explain(CLI::App& app);

} // namespace kudo
