// SPDX-License-Identifier: MIT
// The live view: reads, lays out, draws, and does what keys say, until it is ended.
// Invariant: changes nothing on the host. It goes on while kudo-agent is not enabled, and says so.
#pragma once

#include "agent/system/instance.h"
#include "maps/base/result.h"

namespace kudo {

// Until q, SIGINT, SIGTERM or SIGHUP, or the terminal is gone. Errors: Screen::open()'s.
Result<void> run_top(const Instance& instance, bool colour);

} // namespace kudo
