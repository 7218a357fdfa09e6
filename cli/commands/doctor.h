// SPDX-License-Identifier: MIT
// `doctor`: whether KUDO works from this host, and what keeps it from that.
#pragma once

#include "cli/arguments/command.h"

namespace kudo {

Run setup_doctor(CLI::App& app);

} // namespace kudo
