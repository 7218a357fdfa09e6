// SPDX-License-Identifier: MIT
#include "agent/query/peer.h"

#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>

namespace kudo {

Result<Peer> peer_of(int socket) {
    ucred credentials{};
    socklen_t size = sizeof credentials;
    if (getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &credentials, &size) != 0)
        return fail_errno("cannot tell who asks (SO_PEERCRED)");
    Peer peer{credentials.uid, credentials.gid, {}};
    // The kernel says how many there are where there is no room.
    for (socklen_t bytes = 32 * sizeof(gid_t);;) {
        peer.groups.resize(bytes / sizeof(gid_t));
        const socklen_t room = bytes;
        if (getsockopt(socket, SOL_SOCKET, SO_PEERGROUPS, peer.groups.data(), &bytes) == 0) {
            peer.groups.resize(bytes / sizeof(gid_t));
            return peer;
        }
        if (errno != ERANGE || bytes <= room) return fail_errno("cannot tell who asks (SO_PEERGROUPS)");
    }
}

bool may_query(const Peer& peer, gid_t group) {
    return peer.user == 0 || peer.user == geteuid() || peer.group == group ||
           std::ranges::find(peer.groups, group) != peer.groups.end();
}

} // namespace kudo
