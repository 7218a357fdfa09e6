// SPDX-License-Identifier: MIT
// Reads durations and percentages. Used by the fleet commands.
// Invariant: see duration.h.
#include "cli/duration.h"

#include <charconv>

#include <fmt/format.h>

#include "maps/text.h"

namespace kudo {
namespace {

constexpr int64_t most_seconds = 3650LL * 86400;

int64_t seconds_of(std::string_view unit) {
    if (unit == "s") return 1;
    if (unit == "m") return 60;
    if (unit == "h") return 3600;
    if (unit == "d") return 86400;
    return 0;
}

} // namespace

Result<std::chrono::seconds> parse_duration(std::string_view option, std::string_view text) {
    int64_t number = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    const int64_t unit = seconds_of(text.substr(static_cast<std::size_t>(end - text.data())));
    if (error != std::errc() || unit == 0 || number < 1 || number > most_seconds / unit)
        return bad_input(
            fmt::format("{}: {} is not a duration; write it like 90s, 15m, 2h or 1d", option, in_quotes(text)));
    return std::chrono::seconds(number * unit);
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
