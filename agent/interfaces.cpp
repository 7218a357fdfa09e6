// SPDX-License-Identifier: MIT
#include "agent/interfaces.h"

#include <linux/if_arp.h>
#include <linux/rtnetlink.h>
#include <netlink/netlink.h>
#include <netlink/route/link.h>
#include <netlink/route/nexthop.h>
#include <netlink/route/route.h>

#include <algorithm>
#include <memory>
#include <set>

#include "agent/netlink.h"

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
        return fail(std::string("cannot read the routes: ") + nl_geterror(error));
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

} // namespace

Result<std::vector<Interface>> list_interfaces() {
    auto socket = open_netlink();
    if (!socket) return fail(std::move(socket.error()));
    nl_cache* raw = nullptr;
    if (const int error = rtnl_link_alloc_cache(socket->get(), AF_UNSPEC, &raw); error < 0)
        return fail(std::string("cannot read the interfaces: ") + nl_geterror(error));
    const NlCache links(raw);
    auto with_default_route = default_route_indexes(socket->get());
    if (!with_default_route) return fail(std::move(with_default_route.error()));

    std::vector<Interface> interfaces;
    for (nl_object* object = nl_cache_get_first(links.get()); object; object = nl_cache_get_next(object)) {
        interfaces.push_back(describe(reinterpret_cast<rtnl_link*>(object)));
        interfaces.back().default_route = with_default_route->contains(interfaces.back().index);
    }
    std::sort(interfaces.begin(), interfaces.end(),
              [](const Interface& a, const Interface& b) { return a.index < b.index; });
    return interfaces;
}

} // namespace kudo
