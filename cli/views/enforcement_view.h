// SPDX-License-Identifier: MIT
// The part of a status that mode enforce and its rehearsal have: in effect until when, rules and lifelines.
// Invariant: pure.
#pragma once

#include <string>

#include "agent/inspect/status.h"
#include "cli/terminal/json.h"

namespace kudo {

// As the kernel has it; without a data path as it is desired, if that is in effect.
kudo_mode shown_mode(const Status& status);

OrderedJson enforcement_json(const Status& status); // null unless mode enforce is desired
OrderedJson rehearsal_json(const Status& status);   // null: none
OrderedJson lifelines_json(const Status& status);

std::string mode_text(const Status& status);      // "enforce, confirmed"
std::string admission_text(const Status& status); // lines of rules and lifelines; may be empty

} // namespace kudo
