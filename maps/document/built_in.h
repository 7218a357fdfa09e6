// SPDX-License-Identifier: MIT
// The range map that is built into the agent: maps/data/.
#pragma once

#include <string_view>

#include "maps/document/range_map.h"

namespace kudo {

// The map that is built into the agent: maps/data/.
const RangeMap& built_in_range_map();
std::string_view built_in_range_map_json();

} // namespace kudo
