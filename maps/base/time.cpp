// SPDX-License-Identifier: MIT
#include "maps/base/time.h"

#include <ctime>

#include <fmt/format.h>

#include "maps/base/text.h"

namespace kudo {

std::string rfc3339(Time time) {
    const std::time_t seconds = time.time_since_epoch().count();
    std::tm parts{};
    ::gmtime_r(&seconds, &parts);
    return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}Z", parts.tm_year + 1900, parts.tm_mon + 1, parts.tm_mday,
                       parts.tm_hour, parts.tm_min, parts.tm_sec);
}

Result<Time> parse_rfc3339(std::string_view text) {
    std::tm parts{};
    const std::string copy(text);
    if (::strptime(copy.c_str(), "%Y-%m-%dT%H:%M:%SZ", &parts)) {
        const Time time{std::chrono::seconds(::timegm(&parts))};
        // strptime() takes more: white space, missing digits, the 31st of June, a second 60.
        if (rfc3339(time) == text) return time;
    }
    return bad_input(quoted_text(text) + " is not a time in UTC; write it like 2022-03-01T00:00:00Z");
}

} // namespace kudo
