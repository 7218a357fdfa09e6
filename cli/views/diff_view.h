// SPDX-License-Identifier: MIT
// What changes from one range map to another, as text and as JSON.
#pragma once

#include <string>

#include "cli/terminal/json.h"
#include "maps/document/diff.h"
#include "maps/document/range_map.h"

namespace kudo {

OrderedJson diff_json(const MapDiff& difference);
// A headline and a line for each change.
std::string diff_text(const MapDiff& difference, bool colour);

} // namespace kudo
