// SPDX-License-Identifier: MIT
// A Status as JSON and as text.
// Invariant: pure; the JSON's names are a contract (DESIGN: command line).
#pragma once

#include <string>

#include "agent/inspect/status.h"
#include "cli/terminal/json.h"

namespace kudo {

// 0 healthy, 3 not enabled, 4 degraded or leftovers.
int exit_status(const Status& status);

OrderedJson status_json(const Status& status);
std::string status_text(const Status& status, bool colour);

} // namespace kudo
