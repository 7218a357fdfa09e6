// SPDX-License-Identifier: MIT
// The range map that is built into the agent. Used where no other map has been applied.
// Invariant: it is the file under maps/data/, read by the same reader as any other; the tests prove that it parses.
#include "maps/range_map.h"

namespace kudo {

extern const std::string_view built_in_json; // made from maps/data/ by embed.cmake

std::string_view built_in_range_map_json() {
    return built_in_json;
}

const RangeMap& built_in_range_map() {
    static const RangeMap map = parse_range_map(built_in_json, "built-in range map").value();
    return map;
}

} // namespace kudo
