// SPDX-License-Identifier: MIT
#include "agent/netlink/link_events.h"

#include <linux/if_link.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

#include <algorithm>

#include "agent/netlink/address.h"
#include "agent/netlink/events.h"
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
    return take_events(socket_.get(), [this](const nlmsghdr& message) { return counts(message); });
}

bool LinkEvents::counts(const nlmsghdr& message) const {
    switch (message.nlmsg_type) {
    case RTM_NEWROUTE:
    case RTM_DELROUTE:
        return route_counts(message);
    case RTM_NEWLINK: {
        const auto* head = head_of<ifinfomsg>(&message);
        if (!head) return true;
        // What a wireless driver reports of its scans, or a bridge of its ports, is about no interface's coming.
        return head->ifi_family != AF_BRIDGE && !MessageAttributes<IFLA_MAX>(&message, sizeof *head).at(IFLA_WIRELESS);
    }
    default:
        return true;
    }
}

bool LinkEvents::route_counts(const nlmsghdr& message) const {
    const auto* route = head_of<rtmsg>(&message);
    if (!route) return true;
    if ((route->rtm_flags & RTM_F_CLONED) || route->rtm_table == RT_TABLE_LOCAL) return false;
    if (route->rtm_family != AF_INET && route->rtm_family != AF_INET6) return false;
    const nlattr* destination = nlmsg_find_attr(const_cast<nlmsghdr*>(&message), sizeof *route, RTA_DST);
    const auto address = address_of(route->rtm_family, destination);
    const Family family = route->rtm_family == AF_INET ? Family::IPv4 : Family::IPv6;
    return ranges_.overlaps(prefix_of(address.value_or(Address{.family = family}), route->rtm_dst_len));
}

} // namespace kudo
