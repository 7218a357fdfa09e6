// SPDX-License-Identifier: MIT
#include "agent/netlink/events.h"

#include <linux/netlink.h>
#include <netlink/msg.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>

namespace kudo {

bool take_events(int socket, const std::function<bool(const nlmsghdr&)>& counts) {
    bool changed = false;
    alignas(nlmsghdr) char buffer[32768];
    while (true) {
        const ssize_t got = recv(socket, buffer, sizeof buffer, MSG_TRUNC);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0 && errno == ENOBUFS) { // what is still there can be read
            changed = true;
            continue;
        }
        if (got < 0) return changed;
        if (static_cast<std::size_t>(got) > sizeof buffer) changed = true;
        int left = static_cast<int>(std::min<std::size_t>(static_cast<std::size_t>(got), sizeof buffer));
        for (const auto* message = reinterpret_cast<const nlmsghdr*>(buffer); !changed && nlmsg_ok(message, left);
             message = nlmsg_next(const_cast<nlmsghdr*>(message), &left))
            changed = counts(*message);
    }
}

} // namespace kudo
