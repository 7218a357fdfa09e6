// SPDX-License-Identifier: MIT
// `kudo-agent ranges apply`.
#pragma once

#include "cli/arguments/command.h"

namespace kudo {

Run setup_ranges_apply(CLI::App& app);

} // namespace kudo
