// SPDX-License-Identifier: MIT
#include "cli/terminal/units.h"

#include <algorithm>
#include <array>
#include <string_view>

#include <fmt/format.h>

namespace kudo {
namespace {

constexpr std::array<std::string_view, 7> prefixes = {"", "k", "M", "G", "T", "P", "E"};

// "1.2 M" of 1,234,567; `unit` follows the prefix.
std::string scaled(double value, std::string_view unit) {
    std::size_t step = 0;
    while (value >= 999.5 && step + 1 < prefixes.size()) {
        value /= 1000;
        ++step;
    }
    const int decimals = step == 0 || value >= 99.95 ? 0 : 1;
    const std::string_view space = step == 0 && unit.empty() ? "" : " ";
    return fmt::format("{:.{}f}{}{}{}", value, decimals, space, prefixes[step], unit);
}

} // namespace

std::string count_text(uint64_t number) {
    constexpr uint64_t exact_below = 100'000;
    return number < exact_below ? fmt::format("{}", number) : scaled(static_cast<double>(number), "");
}

std::string bytes_text(uint64_t bytes) {
    return scaled(static_cast<double>(bytes), "B");
}

std::string packet_rate_text(double per_second) {
    return scaled(per_second, "");
}

std::string bit_rate_text(double bits_per_second) {
    return scaled(bits_per_second, "bit/s");
}

std::string age_text(std::chrono::nanoseconds age) {
    const auto seconds = std::max<int64_t>(0, std::chrono::floor<std::chrono::seconds>(age).count());
    if (seconds == 0) return "now";
    if (seconds < 120) return fmt::format("{} s", seconds);
    if (seconds < 120 * 60) return fmt::format("{} min", seconds / 60);
    if (seconds < 48 * 3600) return fmt::format("{} h", seconds / 3600);
    return fmt::format("{} d", seconds / 86400);
}

} // namespace kudo
