// SPDX-License-Identifier: MIT
#include "agent/sources/nats/handles.h"

#include <string>

#include <fmt/format.h>

namespace kudo {

Result<void> nats_result(natsStatus status, std::string_view where, std::string_view what) {
    if (status == NATS_OK) return {};
    // The last error of this thread is of an earlier call if this one has set none.
    natsStatus last = NATS_OK;
    const char* details = nats_GetLastError(&last);
    std::string_view reason = last == status && details && *details ? details : natsStatus_GetText(status);
    // "(conn.c:2088): No server available for connection"
    if (const auto end = reason.find("): "); reason.starts_with('(') && end != std::string_view::npos)
        reason.remove_prefix(end + 3);
    std::string text;
    for (const char c : reason.substr(0, 300))
        text += c >= ' ' && c <= '~' ? c : ' ';
    return fail(fmt::format("{}: {}: {}", where, what, text));
}

} // namespace kudo
