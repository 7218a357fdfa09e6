// SPDX-License-Identifier: MIT
#include "agent/sources/nats/failure.h"

#include <string>

#include <fmt/format.h>

namespace kudo {

tl::unexpected<Error> nats_failure(std::string_view where, std::string_view what, natsStatus status) {
    // The last error of this thread is of an earlier call if this one has set none.
    natsStatus last = NATS_OK;
    const char* details = nats_GetLastError(&last);
    std::string_view words = last == status && details && *details ? details : natsStatus_GetText(status);
    // "(conn.c:2088): No server available for connection"
    if (const auto place = words.find("): "); words.starts_with('(') && place != std::string_view::npos)
        words.remove_prefix(place + 3);
    std::string text;
    for (const char c : words.substr(0, 300))
        text += c >= ' ' && c <= '~' ? c : ' ';
    return fail(fmt::format("{}: {}: {}", where, what, text));
}

} // namespace kudo
