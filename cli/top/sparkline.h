// SPDX-License-Identifier: MIT
// Numbers as a row of small bars.
// Invariant: pure; a number that there is not is a space, and zero is the lowest bar.
#pragma once

#include <optional>
#include <span>
#include <string>

namespace kudo {

// In `width` columns, the last of the values at the right; the tallest bar is the largest of them.
std::string sparkline(std::span<const std::optional<float>> values, std::size_t width);

} // namespace kudo
