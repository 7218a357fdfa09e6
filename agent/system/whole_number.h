// SPDX-License-Identifier: MIT
// A number that is the whole of a text, as the files of /proc hold them.
#pragma once

#include <charconv>
#include <optional>
#include <string_view>
#include <system_error>

namespace kudo {

// Decimal. Nothing: it is no such number, or has something before or behind it.
template <typename T> std::optional<T> whole_number(std::string_view text) {
    T value{};
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (text.empty() || error != std::errc() || end != text.data() + text.size()) return std::nullopt;
    return value;
}

} // namespace kudo
