// SPDX-License-Identifier: MIT
#include "maps/base/time.h"

#include <algorithm>

#include <fmt/format.h>

#include "maps/base/text.h"

namespace kudo {
namespace {

constexpr std::string_view pattern = "0000-00-00T00:00:00Z"; // 0: a digit

bool fits_pattern(std::string_view text) {
    return std::ranges::equal(
        text, pattern, [](char have, char want) { return want == '0' ? have >= '0' && have <= '9' : have == want; });
}

unsigned number(std::string_view digits) {
    unsigned value = 0;
    for (const char digit : digits)
        value = value * 10 + static_cast<unsigned>(digit - '0');
    return value;
}

} // namespace

std::string rfc3339(Time time) {
    const auto day = std::chrono::floor<std::chrono::days>(time);
    const std::chrono::year_month_day date{day};
    const std::chrono::hh_mm_ss clock{time - day};
    return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}Z", static_cast<int>(date.year()),
                       static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()), clock.hours().count(),
                       clock.minutes().count(), clock.seconds().count());
}

Result<Time> parse_rfc3339(std::string_view text) {
    const auto refuse = [&] {
        return bad_input(quoted_text(text) + " is not a time in UTC; write it like 2022-03-01T00:00:00Z");
    };
    if (!fits_pattern(text)) return refuse();
    const std::chrono::year_month_day date{std::chrono::year(static_cast<int>(number(text.substr(0, 4)))),
                                           std::chrono::month(number(text.substr(5, 2))),
                                           std::chrono::day(number(text.substr(8, 2)))};
    const unsigned hours = number(text.substr(11, 2)), minutes = number(text.substr(14, 2)),
                   seconds = number(text.substr(17, 2));
    if (!date.ok() || hours > 23 || minutes > 59 || seconds > 59) return refuse();
    return Time{std::chrono::sys_days{date}} + std::chrono::hours(hours) + std::chrono::minutes(minutes) +
           std::chrono::seconds(seconds);
}

} // namespace kudo
