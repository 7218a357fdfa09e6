// SPDX-License-Identifier: MIT
// Text for a screen on which every column counts: what the kernel, a firewall's rules or a name server call something
// may hold anything.
// Invariant: what printable() returns is UTF-8 of which each character takes one column, and no terminal acts on any of
// it. Pure; it depends on no locale.
#pragma once

#include <string>
#include <string_view>

#include "cli/terminal/output.h"

namespace kudo {

// What is no letter, digit or sign of one column (control characters, also C1's; bytes that are no UTF-8; wide,
// combining, invisible characters and those that turn the direction) is written as its bytes, "\x1b".
std::string printable(std::string_view text);

// In exactly so many columns: cut with an ellipsis, or padded. `text` is printable().
std::string in_columns(const std::string& text, std::size_t width, Align align = Align::Left);

// For terminals without UTF-8: each character that is not ASCII as one that is, at least a "?".
std::string in_ascii(std::string_view printable);

} // namespace kudo
