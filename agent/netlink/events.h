// SPDX-License-Identifier: MIT
// Emptying a netlink socket of the notifications that wait in it.
// Invariant: what was lost, or cut off, counts.
#pragma once

#include <functional>

struct nlmsghdr;

namespace kudo {

// Empties a socket that does not block. True if `counts` is true of any message, or any was lost.
bool take_events(int socket, const std::function<bool(const nlmsghdr&)>& counts);

} // namespace kudo
