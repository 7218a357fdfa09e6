// SPDX-License-Identifier: MIT
// Takes typed fields out of a JSON object.
// Invariant: every error begins with the JSON path of the field that is wrong.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "maps/document/json_document.h"
#include "maps/document/range_map.h"
#include "maps/net/prefix.h"

namespace kudo {

struct Field {
    std::string_view name;
    bool required = true;
};

// "PATH: what"; only "what" for the root, whose path is empty.
tl::unexpected<Error> wrong(std::string_view path, std::string_view what);

// `value` is an object that has every required field and none that is not listed.
Result<void> check_fields(const Json& value, std::string_view path, std::span<const Field> fields);

// A string in the document, and its path.
struct Text {
    std::string value;
    std::string path;
};

// `root` is an object of this format, with every required field and none that is not listed.
Result<void> check_format(const Json& root, std::string_view format, std::span<const Field> fields);

Result<Text> read_text(const Json& object, std::string_view path, std::string_view field);
Result<bool> read_flag(const Json& object, std::string_view path, std::string_view field); // missing: false
Result<uint64_t> read_serial(const Json& object, std::string_view path, std::string_view field);
Result<Time> read_time(const Json& object, std::string_view path, std::string_view field);
// The strings of an array; none if the field is missing.
Result<std::vector<Text>> read_list(const Json& object, std::string_view path, std::string_view field);
// As read_list(), but a duplicate is refused.
Result<std::vector<Text>> read_set(const Json& object, std::string_view path, std::string_view field);

// The fields "ipv4" and "ipv6", either of which may be missing.
Result<std::vector<Range>> read_ranges(const Json& object, std::string_view path);

} // namespace kudo
