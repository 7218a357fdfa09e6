// SPDX-License-Identifier: MIT
// An explanation as JSON and as text.
#pragma once

#include <string>

#include "agent/inspect/explanation.h"
#include "cli/terminal/json.h"

namespace kudo {

OrderedJson explanation_json(const Explanation& explanation);
std::string explanation_text(const Explanation& explanation, bool colour);

} // namespace kudo
