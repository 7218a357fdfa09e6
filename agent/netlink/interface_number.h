// SPDX-License-Identifier: MIT
// The interface in the name of a pin: "3", "3_ifb", "3_tcx_egress".
// Invariant: a foreign name gives nothing, and never an exception.
#pragma once

#include <charconv>
#include <cstdint>
#include <optional>
#include <string_view>

namespace kudo {

// The ifindex that the name begins with, up to its end or a "_".
inline std::optional<uint32_t> interface_number(std::string_view name) {
    const std::string_view digits = name.substr(0, name.find('_'));
    uint32_t number = 0;
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), number);
    if (error != std::errc{} || end != digits.data() + digits.size() || number == 0) return std::nullopt;
    return number;
}

} // namespace kudo
