// SPDX-License-Identifier: MIT
#include "cli/duration.h"

#include <charconv>
#include <utility>

#include <fmt/format.h>

#include "maps/text.h"

namespace kudo {

namespace {

constexpr std::pair<char, std::chrono::seconds> units[] = {{'d', std::chrono::days(1)},
                                                           {'h', std::chrono::hours(1)},
                                                           {'m', std::chrono::minutes(1)},
                                                           {'s', std::chrono::seconds(1)}};
constexpr std::chrono::seconds longest = std::chrono::days(3650);

} // namespace

Result<std::chrono::seconds> parse_duration(std::string_view option, std::string_view text) {
    const auto refuse = [&] {
        return bad_input(
            fmt::format("{}: {} is not a time span; write it like 30s, 5m, 12h or 7d", option, in_quotes(text)));
    };
    if (text == "0") return std::chrono::seconds(0);
    uint32_t number = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (error != std::errc() || end + 1 != text.data() + text.size()) return refuse();
    for (const auto& [letter, unit] : units)
        if (*end == letter && number <= longest / unit) return number * unit;
    return refuse();
}

std::string duration_text(std::chrono::seconds duration) {
    for (const auto& [letter, unit] : units)
        if (duration % unit == std::chrono::seconds(0) && duration / unit >= 2)
            return fmt::format("{}{}", duration / unit, letter);
    return fmt::format("{}s", duration.count());
}

Result<double> parse_percentage(std::string_view option, std::string_view text) {
    const std::string_view digits = text.ends_with('%') ? text.substr(0, text.size() - 1) : text;
    double number = -1;
    const auto [end, error] =
        std::from_chars(digits.data(), digits.data() + digits.size(), number, std::chars_format::fixed);
    if (error != std::errc() || end != digits.data() + digits.size() || !(number >= 0 && number <= 100))
        return bad_input(fmt::format("{}: {} is not a percentage; write it like 99%", option, in_quotes(text)));
    return number;
}

} // namespace kudo
