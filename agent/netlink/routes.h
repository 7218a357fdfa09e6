// SPDX-License-Identifier: MIT
// Where the kernel would send a packet: asked for each packet, not read from the routes, of which there may be hundreds
// of thousands, in tables that rules choose.
// Invariant: what the kernel says and this does not know (encapsulations, attributes of later kernels) is passed over.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "agent/netlink/netlink.h"
#include "maps/net/prefix.h"

namespace kudo {

// By which interfaces the kernel would send to a service now; empty: no route. Over the IPv6 of a NAT64 where a service
// with IPv4 ranges has no route over IPv4.
struct ServiceRoute {
    std::string service;
    Family family = Family::IPv4;
    std::vector<std::string> interfaces;
};

struct RouteQuestion {
    Address to;
    uint8_t protocol = 0; // rules may choose by it and by the port; 0: any
    uint16_t port = 0;
    uint32_t out = 0; // ifindex; only routes that leave there; 0: any
    std::optional<Address> from{};
    uint32_t in = 0;   // ifindex: of a packet that came in there from `from`, to be forwarded; 0: of this host's own
    uint32_t mark = 0; // skb->mark
};

class Routes {
public:
    static Result<Routes> open();
    // The interfaces (ifindex) of the route: several where it has several next hops. Empty: there is none, it leads to
    // this host itself, or it refuses packets. With `out`: exactly that one, or none.
    Result<std::vector<uint32_t>> ask(const RouteQuestion& question);
    // The neighbour to which it is sent there: a router, or the address itself. Nothing: no route, or several next
    // hops.
    struct NextHop {
        uint32_t interface = 0;
        Address neighbour;
    };
    Result<std::optional<NextHop>> next_hop(const RouteQuestion& question);
    // The routes of IPv4 and IPv6 that refuse packets: blackhole, unreachable, prohibit. For hosts with many others the
    // kernel sends only these (NETLINK_GET_STRICT_CHK, Linux 4.20).
    struct Refusing {
        std::string type; // ip-route(8)'s: "blackhole"
        Prefix to;
        uint32_t table = 0, metric = 0;
    };
    static Result<std::vector<Refusing>> refusing();
    // By which values of skb->mark the rules choose a table, of both families.
    static Result<std::vector<uint32_t>> rule_marks();

private:
    explicit Routes(NlSocket socket) : socket_(std::move(socket)) {}
    struct Answer {
        std::vector<uint32_t> interfaces;
        std::vector<uint32_t> next_hops; // identifiers of nexthop objects
    };
    Result<Answer> look_up(const RouteQuestion& question);
    // NotPermitted and the like; no route is none. `flags`: RTM_F_*.
    Result<void> request(const RouteQuestion& question, unsigned flags, const NetlinkVisitor& visit);
    Result<std::vector<uint32_t>> interfaces_of_next_hop(uint32_t id);

    NlSocket socket_;
    std::map<uint32_t, std::vector<uint32_t>> next_hops_; // known so far
};

} // namespace kudo
