// SPDX-License-Identifier: MIT
// Who is at the other end of a unix(7) socket, as the kernel says.
#pragma once

#include <vector>

#include <sys/types.h>

#include "maps/base/result.h"

namespace kudo {

struct Peer {
    uid_t user = 0;
    gid_t group = 0;
    std::vector<gid_t> groups; // supplementary ones
};
// As of when it connected: SO_PEERCRED and SO_PEERGROUPS (Linux 4.13).
Result<Peer> peer_of(int socket);

// Root, this process's own user, and members of the group.
bool may_query(const Peer& peer, gid_t group);

} // namespace kudo
