// SPDX-License-Identifier: MIT
#include "agent/netlink/link_events.h"

#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

#include <cerrno>

namespace kudo {

Result<LinkEvents> LinkEvents::open() {
    Fd socket(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE));
    if (!socket) return fail_errno("cannot open a netlink socket");
    sockaddr_nl address{};
    address.nl_family = AF_NETLINK;
    address.nl_groups = RTMGRP_LINK | RTMGRP_IPV4_ROUTE | RTMGRP_IPV6_ROUTE;
    if (bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
        return fail_errno("cannot subscribe to interface changes");
    return LinkEvents(std::move(socket));
}

bool LinkEvents::take() {
    bool changed = false;
    alignas(nlmsghdr) char buffer[32768];
    while (true) {
        const ssize_t got = recv(socket_.get(), buffer, sizeof buffer, MSG_TRUNC);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return changed || errno == ENOBUFS;
        changed = true;
    }
}

} // namespace kudo
