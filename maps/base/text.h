// SPDX-License-Identifier: MIT
// Small helpers for the text of messages.
// Invariant: whatever a document holds, a message made from it is one printable ASCII line of bounded length.
#pragma once

#include <span>
#include <string>
#include <string_view>

namespace kudo {

// The text cut to `longest` characters, all that is not printable ASCII, and quotes and backslashes, escaped.
std::string escaped(std::string_view text, std::size_t longest);

// The text in double quotes, cut to 80 characters, escaped.
std::string quoted_text(std::string_view text);

// "ca, cn, eu"
std::string joined(std::span<const std::string> parts);

std::string hex(std::span<const unsigned char> bytes);

// 1..63 of [a-z0-9-]
bool is_simple_name(std::string_view text);

} // namespace kudo
