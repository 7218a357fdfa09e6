// SPDX-License-Identifier: MIT
// Reads a range map.
// Invariant: a document with any line wrong is refused whole.
#pragma once

#include <string_view>

#include "maps/document/json_document.h"
#include "maps/document/range_map.h"

namespace kudo {

// Errors begin with the path of what is wrong.
Result<RangeMap> range_map_from(const Json& root);

// Reads a whole document. `name` is what errors call it (a file's path, "built-in range map"). Errors read
// "NAME: PATH: what is wrong, what was expected": "x.json: services[0].ipv4[3]: \"10.0.0.9/24\" has host bits set;
// write 10.0.0.0/24".
Result<RangeMap> parse_range_map(std::string_view json, std::string_view name);

} // namespace kudo
