// SPDX-License-Identifier: MIT
#include "agent/netlink/link_events.h"

#include <linux/if_link.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <span>

#include "agent/netlink/address.h"
#include "agent/netlink/netlink.h"

namespace kudo {
namespace {

// A full routing table may be loaded in one go; the memory is only taken while events wait.
constexpr int event_buffer = 32 << 20;

} // namespace

PrefixSet::PrefixSet(std::vector<Prefix> prefixes) {
    std::ranges::sort(prefixes);
    for (const Prefix& prefix : prefixes)
        if (disjoint_.empty() || !disjoint_.back().contains(prefix)) disjoint_.push_back(prefix);
}

bool PrefixSet::overlaps(const Prefix& prefix) const {
    const auto next = std::ranges::upper_bound(disjoint_, prefix);
    return (next != disjoint_.begin() && std::prev(next)->contains(prefix)) ||
           (next != disjoint_.end() && prefix.contains(*next));
}

Result<LinkEvents> LinkEvents::open() {
    Fd socket(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE));
    if (!socket) return fail_errno("cannot open a netlink socket");
    // Where that is not permitted events are lost earlier, which counts as a change.
    setsockopt(socket.get(), SOL_SOCKET, SO_RCVBUFFORCE, &event_buffer, sizeof event_buffer);
    const sockaddr_nl address{.nl_family = AF_NETLINK, .nl_pad = 0, .nl_pid = 0, .nl_groups = 0};
    if (bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
        return fail_errno("cannot subscribe to interface changes");
    // RTNLGRP_NEXTHOP has no bit in nl_groups.
    for (const int group :
         {RTNLGRP_LINK, RTNLGRP_IPV4_ROUTE, RTNLGRP_IPV6_ROUTE, RTNLGRP_IPV4_RULE, RTNLGRP_IPV6_RULE, RTNLGRP_NEXTHOP})
        if (setsockopt(socket.get(), SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &group, sizeof group) != 0)
            return fail_errno("cannot subscribe to interface changes");
    return LinkEvents(std::move(socket));
}

bool LinkEvents::take() {
    bool changed = false;
    alignas(nlmsghdr) char buffer[32768];
    while (true) {
        const ssize_t got = recv(socket_.get(), buffer, sizeof buffer, MSG_TRUNC);
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

bool LinkEvents::counts(const nlmsghdr& message) const {
    switch (message.nlmsg_type) {
    case RTM_NEWROUTE:
    case RTM_DELROUTE:
        return route_counts(message);
    case RTM_NEWLINK: {
        const auto* head = static_cast<const ifinfomsg*>(nlmsg_data(&message));
        // What a wireless driver reports of its scans, or a bridge of its ports, is about no interface's coming.
        return head->ifi_family != AF_BRIDGE && !MessageAttributes<IFLA_MAX>(&message, sizeof *head).at(IFLA_WIRELESS);
    }
    default:
        return true;
    }
}

bool LinkEvents::route_counts(const nlmsghdr& message) const {
    const auto* route = static_cast<const rtmsg*>(nlmsg_data(&message));
    if (static_cast<std::size_t>(nlmsg_datalen(&message)) < sizeof *route) return true;
    if ((route->rtm_flags & RTM_F_CLONED) || route->rtm_table == RT_TABLE_LOCAL) return false;
    if (route->rtm_family != AF_INET && route->rtm_family != AF_INET6) return false;
    const nlattr* destination = nlmsg_find_attr(const_cast<nlmsghdr*>(&message), sizeof *route, RTA_DST);
    const auto address = address_of(route->rtm_family, destination);
    const Family family = route->rtm_family == AF_INET ? Family::IPv4 : Family::IPv6;
    return ranges_.overlaps(prefix_of(address.value_or(Address{.family = family}), route->rtm_dst_len));
}

} // namespace kudo
