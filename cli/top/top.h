// SPDX-License-Identifier: MIT
// The live view on a terminal: draws, and does what keys say, until it is ended.
// Invariant: changes nothing on the host. It goes on while kudo-agent is not enabled, and says so.
#pragma once

#include "cli/top/view.h"
#include "maps/base/result.h"

namespace kudo {

// Until q, SIGINT, SIGTERM or SIGHUP, or the terminal is gone. Errors: Screen::open()'s and the view's. `view` outlives
// the screen, so that a reading that still goes on is waited for when the terminal is given back already.
Result<void> run_top(View& view, bool colour);

} // namespace kudo
