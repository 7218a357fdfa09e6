// SPDX-License-Identifier: MIT
#include "cli/arguments/duration.h"

#include <charconv>
#include <optional>
#include <utility>

#include <fmt/format.h>

#include "maps/base/text.h"

namespace kudo {

namespace {

using std::chrono::milliseconds;

constexpr std::pair<std::string_view, milliseconds> units[] = {{"d", std::chrono::days(1)},
                                                               {"h", std::chrono::hours(1)},
                                                               {"m", std::chrono::minutes(1)},
                                                               {"s", std::chrono::seconds(1)},
                                                               {"ms", milliseconds(1)}};
constexpr milliseconds max_duration = std::chrono::days(3650);

// Nothing: it is not one number and one unit, or a smaller unit than `smallest`, or too long.
std::optional<milliseconds> parse_span(std::string_view text, milliseconds smallest) {
    if (text == "0") return milliseconds(0);
    uint64_t number = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (error != std::errc()) return std::nullopt;
    text.remove_prefix(static_cast<std::size_t>(end - text.data()));
    for (const auto& [name, unit] : units)
        if (text == name && unit >= smallest && number <= static_cast<uint64_t>(max_duration / unit))
            return static_cast<int64_t>(number) * unit;
    return std::nullopt;
}

} // namespace

Result<std::chrono::seconds> parse_duration(std::string_view option, std::string_view text) {
    if (const auto span = parse_span(text, std::chrono::seconds(1)))
        return std::chrono::duration_cast<std::chrono::seconds>(*span);
    return bad_input(
        fmt::format("{}: {} is not a time span; write it like 30s, 5m, 12h or 7d", option, quoted_text(text)));
}

Result<milliseconds> parse_wait(std::string_view option, std::string_view text) {
    if (const auto span = parse_span(text, milliseconds(1))) return *span;
    return bad_input(
        fmt::format("{}: {} is not a time span; write it like 500ms, 30s or 5m", option, quoted_text(text)));
}

std::string duration_text(milliseconds duration) {
    for (const auto& [name, unit] : units)
        if (duration % unit == milliseconds(0) && (duration / unit >= 2 || unit == std::chrono::seconds(1)))
            return fmt::format("{}{}", duration / unit, name);
    return fmt::format("{}ms", duration.count());
}

Result<double> parse_percentage(std::string_view option, std::string_view text) {
    const std::string_view digits = text.ends_with('%') ? text.substr(0, text.size() - 1) : text;
    double number = -1;
    const auto [end, error] =
        std::from_chars(digits.data(), digits.data() + digits.size(), number, std::chars_format::fixed);
    if (error != std::errc() || end != digits.data() + digits.size() || !(number >= 0 && number <= 100))
        return bad_input(fmt::format("{}: {} is not a percentage; write it like 99%", option, quoted_text(text)));
    return number;
}

} // namespace kudo
