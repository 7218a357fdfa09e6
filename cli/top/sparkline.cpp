// SPDX-License-Identifier: MIT
#include "cli/top/sparkline.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <string_view>

namespace kudo {

std::string sparkline(std::span<const std::optional<float>> values, std::size_t width) {
    constexpr std::array<std::string_view, 8> bars = {"▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
    values = values.last(std::min(values.size(), width));
    float largest = 0;
    for (const auto& value : values)
        largest = std::max(largest, value.value_or(0));
    std::string text(width - values.size(), ' ');
    for (const auto& value : values) {
        // Any number above zero is above the lowest bar.
        const float share = value && largest > 0 ? *value / largest : 0;
        const auto bar = static_cast<std::size_t>(std::ceil(share * (bars.size() - 1)));
        text += value ? bars[std::min(bar, bars.size() - 1)] : " ";
    }
    return text;
}

} // namespace kudo
