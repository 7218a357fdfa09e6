// SPDX-License-Identifier: MIT
// Writes a range map.
#pragma once

#include <string>

#include "maps/document/range_map.h"

namespace kudo {

// The document again, canonical: parse(to_json(map)) == map, to_json(parse(x)) is a fixed point. Two-space indent.
std::string to_json(const RangeMap& map);

} // namespace kudo
