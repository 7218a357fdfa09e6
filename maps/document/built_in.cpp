// SPDX-License-Identifier: MIT
#include "maps/document/built_in.h"
#include "maps/document/parse_range_map.h"

namespace kudo {

extern const std::string_view built_in_json; // made from maps/data/ by cmake/embed.cmake

std::string_view built_in_range_map_json() {
    return built_in_json;
}

const RangeMap& built_in_range_map() {
    static const RangeMap map = parse_range_map(built_in_json, "built-in range map").value();
    return map;
}

} // namespace kudo
