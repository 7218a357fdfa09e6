// SPDX-License-Identifier: MIT
#include "agent/netlink/interfaces.h"

#include <ifaddrs.h>
#include <linux/genetlink.h>
#include <linux/if_arp.h>
#include <linux/nl80211.h>
#include <linux/rtnetlink.h>
#include <netinet/in.h>
#include <netlink/attr.h>
#include <netlink/msg.h>
#include <netlink/netlink.h>
#include <netlink/route/link.h>
#include <netlink/route/nexthop.h>
#include <netlink/route/route.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <set>

#include "agent/netlink/netlink.h"

namespace kudo {
namespace {

Interface describe(rtnl_link* link) {
    Interface interface;
    interface.name = rtnl_link_get_name(link);
    interface.index = static_cast<uint32_t>(rtnl_link_get_ifindex(link));
    interface.mtu = rtnl_link_get_mtu(link);
    switch (rtnl_link_get_arptype(link)) {
    case ARPHRD_ETHER:
    case ARPHRD_LOOPBACK:
        interface.link = KUDO_LINK_ETHERNET;
        break;
    case ARPHRD_NONE: // tun, WireGuard, xfrm
    case ARPHRD_PPP:
    case ARPHRD_RAWIP:
    case ARPHRD_TUNNEL:
    case ARPHRD_TUNNEL6:
    case ARPHRD_SIT:
        interface.link = KUDO_LINK_NONE;
        break;
    default:
        interface.supported = false;
    }
    return interface;
}

Result<std::set<uint32_t>> default_route_indexes(nl_sock* socket) {
    nl_cache* raw = nullptr;
    if (const int error = rtnl_route_alloc_cache(socket, AF_UNSPEC, 0, &raw); error < 0)
        return netlink_error("cannot read the routes", error);
    const NlCache routes(raw);
    std::set<uint32_t> indexes;
    for (nl_object* object = nl_cache_get_first(routes.get()); object; object = nl_cache_get_next(object)) {
        auto* route = reinterpret_cast<rtnl_route*>(object);
        nl_addr* destination = rtnl_route_get_dst(route);
        if (rtnl_route_get_table(route) != RT_TABLE_MAIN || rtnl_route_get_type(route) != RTN_UNICAST ||
            (destination && nl_addr_get_prefixlen(destination) != 0))
            continue;
        for (int i = 0; i < rtnl_route_get_nnexthops(route); i++)
            indexes.insert(static_cast<uint32_t>(rtnl_route_nh_get_ifindex(rtnl_route_nexthop_n(route, i))));
    }
    return indexes;
}

NlMessage generic_message(int family, uint8_t command) {
    NlMessage message(nlmsg_alloc_simple(family, NLM_F_REQUEST | NLM_F_ACK));
    genlmsghdr head{};
    head.cmd = command;
    head.version = 1;
    if (message && nlmsg_append(message.get(), &head, sizeof head, NLMSG_ALIGNTO) < 0) message.reset();
    return message;
}

} // namespace

Result<std::vector<Interface>> list_interfaces() {
    auto socket = KUDO_TRY(open_netlink());
    nl_cache* raw = nullptr;
    if (const int error = rtnl_link_alloc_cache(socket.get(), AF_UNSPEC, &raw); error < 0)
        return netlink_error("cannot read the interfaces", error);
    const NlCache links(raw);
    auto with_default_route = KUDO_TRY(default_route_indexes(socket.get()));

    std::vector<Interface> interfaces;
    for (nl_object* object = nl_cache_get_first(links.get()); object; object = nl_cache_get_next(object)) {
        interfaces.push_back(describe(reinterpret_cast<rtnl_link*>(object)));
        interfaces.back().default_route = with_default_route.contains(interfaces.back().index);
    }
    std::sort(interfaces.begin(), interfaces.end(),
              [](const Interface& a, const Interface& b) { return a.index < b.index; });
    return interfaces;
}

Result<std::vector<Address>> own_addresses() {
    ifaddrs* list = nullptr;
    if (getifaddrs(&list) != 0) return fail_errno("cannot list this host's addresses");
    const std::unique_ptr<ifaddrs, decltype(&freeifaddrs)> owner(list, freeifaddrs);
    std::vector<Address> addresses;
    for (const ifaddrs* entry = list; entry; entry = entry->ifa_next) {
        if (!entry->ifa_addr) continue;
        Address address;
        if (entry->ifa_addr->sa_family == AF_INET) {
            const auto* socket = reinterpret_cast<const sockaddr_in*>(entry->ifa_addr);
            address.family = Family::IPv4;
            std::memcpy(address.bytes.data(), &socket->sin_addr, 4);
        } else if (entry->ifa_addr->sa_family == AF_INET6) {
            const auto* socket = reinterpret_cast<const sockaddr_in6*>(entry->ifa_addr);
            address.family = Family::IPv6;
            std::memcpy(address.bytes.data(), &socket->sin6_addr, 16);
        } else {
            continue;
        }
        addresses.push_back(address);
    }
    return addresses;
}

bool is_wireless(uint32_t interface) {
    const NlMessage ask = generic_message(GENL_ID_CTRL, CTRL_CMD_GETFAMILY);
    if (!ask || nla_put_string(ask.get(), CTRL_ATTR_FAMILY_NAME, NL80211_GENL_NAME) < 0) return false;
    int family = 0;
    const auto read_family = [&family](const nlmsghdr* header) {
        const nlattr* id = nlmsg_find_attr(const_cast<nlmsghdr*>(header), sizeof(genlmsghdr), CTRL_ATTR_FAMILY_ID);
        if (id) family = nla_get_u16(id);
    };
    if (!transact(ask.get(), read_family, NETLINK_GENERIC) || family == 0) return false; // no nl80211: no Wi-Fi

    const NlMessage get = generic_message(family, NL80211_CMD_GET_INTERFACE);
    if (!get || nla_put_u32(get.get(), NL80211_ATTR_IFINDEX, interface) < 0) return false;
    bool answered = false;
    return transact(
               get.get(), [&](const nlmsghdr*) { answered = true; }, NETLINK_GENERIC) &&
           answered;
}

} // namespace kudo
