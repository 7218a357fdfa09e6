// SPDX-License-Identifier: MIT
// Reads the fields of a report, which may have been written by anybody.
// Invariant: a field that is missing or of another type is empty, never an error.
#pragma once

#include <string>
#include <string_view>

#include "cli/terminal/json.h"

namespace kudo {

// Null where there is none.
const OrderedJson& field(const OrderedJson& object, std::string_view name);
std::string text_field(const OrderedJson& object, std::string_view name);
// A string as it is, a number as people write it, else empty.
std::string text_of(const OrderedJson& value);
double number_field(const OrderedJson& object, std::string_view name); // 0 where there is none
bool has_number(const OrderedJson& object, std::string_view name);
bool is_true(const OrderedJson& object, std::string_view name);
// Of a media stream in `stats --json`. An earlier version did not tell those that are missing lately from the others.
double missing_packets(const OrderedJson& stream);
// An empty list where there is none.
const OrderedJson& list_field(const OrderedJson& object, std::string_view name);

} // namespace kudo
