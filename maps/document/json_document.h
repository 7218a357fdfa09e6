// SPDX-License-Identifier: MIT
// Reads JSON text strictly: the whole of it, no key twice in an object, bounded depth.
// Invariant: no exception of the JSON library gets out; an error says where, but not yet in which document.
#pragma once

#include <string>
#include <string_view>

#include <nlohmann/json.hpp>

#include "maps/base/result.h"

namespace kudo {

using Json = nlohmann::json;

// Text of at most range_map_max_bytes. Syntax errors name line, column and byte, all counted from 1.
Result<Json> read_json(std::string_view text);

// "services[2]" and "colour" give "services[2].colour"; "services" and 2 give "services[2]".
std::string path_of(std::string_view parent, std::string_view key);
std::string path_of(std::string_view parent, std::size_t index);

} // namespace kudo
