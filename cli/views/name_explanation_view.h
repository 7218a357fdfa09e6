// SPDX-License-Identifier: MIT
// `explain NAME`, as text and as JSON.
// Invariant: the two tell the same.
#pragma once

#include <string>

#include "agent/inspect/name_explanation.h"
#include "cli/terminal/json.h"

namespace kudo {

OrderedJson name_explanation_json(const NameExplanation& explanation);
std::string name_explanation_text(const NameExplanation& explanation, bool colour);

} // namespace kudo
