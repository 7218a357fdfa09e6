// SPDX-License-Identifier: MIT
// What shows that this host can be reached: a connection from elsewhere, or a login, that is above a command and began
// after packets were first judged.
// Invariant: pure. What is not known shows nothing; it is said what that is.
#pragma once

#include <functional>
#include <optional>
#include <span>
#include <string>

#include "agent/lifelines/ancestry.h"
#include "agent/sockets/sockets.h"

namespace kudo {

struct Arrival {
    std::string by{};      // "a connection from 203.0.113.9"; empty: nothing shows it
    std::string why_not{}; // a clause that begins with "this"
};

// `tcp`: the TCP sockets of this network namespace. `since`: when packets were first judged, as ProcessStat::started.
// `last_login`: of that moment. `is_own`: is it an address of this host?
//
// A connection: TCP, open, accepted by a server to which new ones can be made too, and not from this host itself. The
// outermost process that has one open tells when it began: a server that makes a process for each has one for it, and
// one that does not is older.
// A login: counted by the kernel after `since`, with a terminal that no service manager has made; or where the kernel
// counts none, by login(1) on a console.
Arrival find_arrival(const Ancestry& ancestry, std::span<const Socket> tcp, uint64_t since,
                     std::optional<uint32_t> last_login, const std::function<bool(const Address&)>& is_own);

} // namespace kudo
