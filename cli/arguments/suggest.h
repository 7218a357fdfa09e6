// SPDX-License-Identifier: MIT
// "Did you mean": the known word that is nearest to a mistyped one.
// Invariant: a word that is far from all gets no suggestion.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace kudo {

// Insertions, deletions, replacements and swaps of neighbours that lead from a to b.
std::size_t edit_distance(std::string_view a, std::string_view b);

std::optional<std::string> nearest(std::string_view word, std::span<const std::string> known);

} // namespace kudo
