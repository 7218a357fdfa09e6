// SPDX-License-Identifier: MIT
#include "cli/arguments/duration.h"

#include <charconv>
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

// Refused: what is not one number and one unit, or a smaller unit than `smallest`, or too long.
Result<milliseconds> parse_span(std::string_view text, milliseconds smallest, std::string_view examples) {
    if (text == "0") return milliseconds(0);
    uint64_t number = 0;
    const char* const end = text.data() + text.size();
    const auto [rest, error] = std::from_chars(text.data(), end, number);
    for (const auto& [name, unit] : units)
        if (error == std::errc() && std::string_view(rest, end) == name && unit >= smallest &&
            number <= static_cast<uint64_t>(max_duration / unit))
            return static_cast<int64_t>(number) * unit;
    return bad_input(fmt::format("{} is not a duration; expected for example {}", quoted_text(text), examples));
}

} // namespace

Result<std::chrono::seconds> parse_duration(std::string_view text) {
    return std::chrono::duration_cast<std::chrono::seconds>(
        KUDO_TRY(parse_span(text, std::chrono::seconds(1), "30s, 5m, 12h or 7d")));
}

Result<std::chrono::seconds> parse_duration(std::string_view option, std::string_view text) {
    return parse_duration(text).in(option);
}

Result<milliseconds> parse_wait(std::string_view option, std::string_view text) {
    return parse_span(text, milliseconds(1), "500ms, 30s or 5m").in(option);
}

std::string duration_text(milliseconds duration) {
    for (const auto& [name, unit] : units)
        if (duration % unit == milliseconds(0) && (duration / unit >= 2 || unit == std::chrono::seconds(1)))
            return fmt::format("{}{}", duration / unit, name);
    return fmt::format("{}ms", duration.count());
}

Result<double> parse_percentage(std::string_view option, std::string_view text) {
    const std::string_view digits = text.ends_with('%') ? text.substr(0, text.size() - 1) : text;
    const char* const end = digits.data() + digits.size();
    double number = -1;
    const auto [rest, error] = std::from_chars(digits.data(), end, number, std::chars_format::fixed);
    if (error != std::errc() || rest != end || !(number >= 0 && number <= 100))
        return bad_input(
            fmt::format("{}: {} is not a percentage; expected for example 99%", option, quoted_text(text)));
    return number;
}

} // namespace kudo
