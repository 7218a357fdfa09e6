// SPDX-License-Identifier: MIT
// Helpers for text: escaping, splitting, joining, hexadecimal.
// Invariant: whatever a document holds, a message made from it is one printable ASCII line of bounded length.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace kudo {

// The text cut to `max_length` characters, all that is not printable ASCII, and quotes and backslashes, escaped.
std::string escaped(std::string_view text, std::size_t max_length);

// The text in double quotes, cut to 80 characters, escaped.
std::string quoted_text(std::string_view text);

// The parts between the separators, one more than there are separators: "a,,b" gives "a", "" and "b".
std::vector<std::string_view> split(std::string_view text, char separator = ',');

// "ca, cn, eu"
std::string joined(std::span<const std::string> parts);

// Behind what is there already: "one; another".
void add_clause(std::string& text, std::string_view clause);

// "3 ranges", "1 range"
std::string counted(std::size_t number, std::string_view noun);

// Two lower-case digits a byte.
std::string hex(std::span<const unsigned char> bytes);

// 1..63 of [a-z0-9-]
bool is_simple_name(std::string_view text);

} // namespace kudo
