// SPDX-License-Identifier: MIT
#include "agent/firewall_sets/events.h"

#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <netlink/msg.h>
#include <sys/socket.h>

#include <cstring>
#include <string_view>

#include "agent/firewall_sets/elements.h"
#include "agent/netlink/events.h"

namespace kudo {
namespace {

// Is it about our table? The table's name is attribute 1 of all of these.
bool is_about_our_table(const nlmsghdr& message) {
    static_assert(NFTA_TABLE_NAME == 1 && NFTA_SET_TABLE == 1 && NFTA_SET_ELEM_LIST_TABLE == 1);
    if (NFNL_SUBSYS_ID(message.nlmsg_type) != NFNL_SUBSYS_NFTABLES) return false;
    switch (NFNL_MSG_TYPE(message.nlmsg_type)) {
    case NFT_MSG_NEWTABLE:
    case NFT_MSG_DELTABLE:
    case NFT_MSG_NEWSET:
    case NFT_MSG_DELSET:
    case NFT_MSG_NEWSETELEM:
    case NFT_MSG_DELSETELEM:
        break;
    default:
        return false;
    }
    const nlattr* table = nlmsg_find_attr(const_cast<nlmsghdr*>(&message), sizeof(nfgenmsg), 1);
    return table && std::string_view(static_cast<const char*>(nla_data(table)),
                                     strnlen(static_cast<const char*>(nla_data(table)),
                                             static_cast<std::size_t>(nla_len(table)))) == firewall_table;
}

} // namespace

Result<FirewallEvents> FirewallEvents::open() {
    Fd socket(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_NETFILTER));
    if (!socket) return fail_errno("cannot open a netlink socket");
    // A number of its own: notifications pass by the sockets that have their sender's, and without one that is 0.
    const sockaddr_nl address{.nl_family = AF_NETLINK, .nl_pad = 0, .nl_pid = 0, .nl_groups = 0};
    if (bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
        return fail_errno("cannot subscribe to changes of nftables");
    const int group = NFNLGRP_NFTABLES;
    if (setsockopt(socket.get(), SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &group, sizeof group) != 0)
        return fail_errno("cannot subscribe to changes of nftables");
    return FirewallEvents(std::move(socket));
}

bool FirewallEvents::take() {
    return take_events(socket_.get(), is_about_our_table);
}

} // namespace kudo
