// SPDX-License-Identifier: MIT
// `kudo-agent top`: a live view on the terminal.
#pragma once

#include "cli/arguments/command.h"

namespace kudo {

Run setup_top(CLI::App& app);
Run setup_top_in_service(CLI::App& app);

} // namespace kudo
