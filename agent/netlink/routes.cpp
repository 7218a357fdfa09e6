// SPDX-License-Identifier: MIT
#include "agent/netlink/routes.h"

#include <arpa/inet.h>
#include <linux/fib_rules.h>
#include <linux/nexthop.h>
#include <linux/rtnetlink.h>

#include <algorithm>

#include "agent/netlink/address.h"

namespace kudo {
namespace {

void add_distinct(std::vector<uint32_t>& list, uint32_t value) {
    if (value != 0 && std::ranges::find(list, value) == list.end()) list.push_back(value);
}

// linux/rtnetlink.h, struct rtnexthop: one behind the other.
void add_multipath(std::vector<uint32_t>& interfaces, const nlattr* multipath) {
    const auto* at = static_cast<const char*>(nla_data(multipath));
    std::size_t left = static_cast<std::size_t>(nla_len(multipath));
    rtnexthop hop{};
    while (left >= sizeof hop) {
        std::memcpy(&hop, at, sizeof hop);
        if (hop.rtnh_len < sizeof hop || hop.rtnh_len > left) return;
        add_distinct(interfaces, static_cast<uint32_t>(hop.rtnh_ifindex));
        const std::size_t step = std::min<std::size_t>(RTNH_ALIGN(hop.rtnh_len), left);
        at += step;
        left -= step;
    }
}

// The kernel answers with an errno where there is no route, or one that refuses; without one the question failed.
bool is_refusal(const Error& error) {
    return error.number != 0 && error.number != ENOBUFS && error.number != ENOMEM && error.number != EINTR;
}

int size_of(const Address& address) {
    return static_cast<int>(address.bits() / 8);
}

} // namespace

Result<Routes> Routes::open() {
    return Routes(KUDO_TRY(open_netlink()));
}

Result<std::vector<uint32_t>> Routes::ask(const RouteQuestion& question) {
    auto answer = KUDO_TRY(look_up(question));
    for (const uint32_t id : answer.next_hops)
        for (const uint32_t interface : KUDO_TRY(interfaces_of_next_hop(id)))
            add_distinct(answer.interfaces, interface);
    if (question.out == 0) return std::move(answer.interfaces);
    // With an address to send from, IPv6 takes `out` for a preference only (ip6_route_output_flags()).
    if (std::ranges::find(answer.interfaces, question.out) == answer.interfaces.end()) return std::vector<uint32_t>{};
    return std::vector<uint32_t>{question.out};
}

Result<void> Routes::request(const RouteQuestion& question, unsigned flags, const NetlinkVisitor& visit) {
    const bool ipv4 = question.to.family == Family::IPv4;
    rtmsg head{};
    head.rtm_family = ipv4 ? AF_INET : AF_INET6;
    head.rtm_dst_len = static_cast<uint8_t>(question.to.bits());
    head.rtm_src_len = question.from ? head.rtm_dst_len : 0;
    head.rtm_flags = flags;
    const auto request = new_request(RTM_GETROUTE, 0, head);
    const uint16_t port = htons(question.port);
    if (!request || nla_put(request.get(), RTA_DST, size_of(question.to), question.to.bytes.data()) < 0 ||
        (question.from && nla_put(request.get(), RTA_SRC, size_of(*question.from), question.from->bytes.data()) < 0) ||
        (question.out && nla_put_u32(request.get(), RTA_OIF, question.out) < 0) ||
        (question.in && nla_put_u32(request.get(), RTA_IIF, question.in) < 0) ||
        (question.mark && nla_put_u32(request.get(), RTA_MARK, question.mark) < 0) ||
        (question.protocol && (nla_put_u8(request.get(), RTA_IP_PROTO, question.protocol) < 0 ||
                               nla_put_u16(request.get(), RTA_DPORT, port) < 0)))
        return fail("cannot allocate a netlink message", ENOMEM);
    const auto asked = transact(socket_.get(), request.get(), [&](const nlmsghdr* header) {
        const auto* route = head_of<rtmsg>(header);
        if (route && header->nlmsg_type == RTM_NEWROUTE && route->rtm_type == RTN_UNICAST) visit(header);
    });
    if (!asked && !is_refusal(asked.error())) return fail(Error(asked.error()).in("cannot look up a route"));
    return {};
}

Result<Routes::Answer> Routes::look_up(const RouteQuestion& question) {
    Answer answer;
    // The route itself with all its next hops, and an error where only `out` makes the kernel assume that everything is
    // a neighbour there.
    KUDO_TRY(request(question, RTM_F_FIB_MATCH, [&](const nlmsghdr* header) {
        const MessageAttributes<RTA_MAX> attributes(header, sizeof(rtmsg));
        if (const auto interface = attributes.value<uint32_t>(RTA_OIF)) add_distinct(answer.interfaces, *interface);
        if (const nlattr* multipath = attributes.at(RTA_MULTIPATH)) add_multipath(answer.interfaces, multipath);
        if (const auto id = attributes.value<uint32_t>(RTA_NH_ID)) add_distinct(answer.next_hops, *id);
    }));
    return answer;
}

Result<std::optional<Routes::NextHop>> Routes::next_hop(const RouteQuestion& question) {
    std::optional<NextHop> hop;
    KUDO_TRY(request(question, 0, [&](const nlmsghdr* header) {
        const MessageAttributes<RTA_MAX> attributes(header, sizeof(rtmsg));
        const auto interface = attributes.value<uint32_t>(RTA_OIF);
        if (!interface) return;
        hop = {*interface, question.to};
        const auto* route = static_cast<const rtmsg*>(nlmsg_data(header));
        if (const auto router = address_of(route->rtm_family, attributes.at(RTA_GATEWAY))) hop->neighbour = *router;
        // linux/rtnetlink.h, struct rtvia: the family and an IPv6 router of an IPv4 route.
        if (const nlattr* via = attributes.at(RTA_VIA); via && nla_len(via) == sizeof(uint16_t) + 16) {
            hop->neighbour = {.family = Family::IPv6};
            std::memcpy(hop->neighbour.bytes.data(), static_cast<const char*>(nla_data(via)) + sizeof(uint16_t), 16);
        }
    }));
    return hop;
}

Result<std::vector<Routes::Refusing>> Routes::refusing() {
    static constexpr std::pair<uint8_t, const char*> types[] = {
        {RTN_BLACKHOLE, "blackhole"}, {RTN_UNREACHABLE, "unreachable"}, {RTN_PROHIBIT, "prohibit"}};
    std::vector<Refusing> routes;
    const auto dump = [&](uint8_t family, uint8_t type, const char* name) -> Result<void> {
        auto socket = KUDO_TRY(open_netlink());
        const int strict = 1;
        setsockopt(nl_socket_get_fd(socket.get()), SOL_NETLINK, NETLINK_GET_STRICT_CHK, &strict, sizeof strict);
        rtmsg head{};
        head.rtm_family = family;
        head.rtm_type = type;
        const auto request = new_request(RTM_GETROUTE, NLM_F_DUMP, head);
        if (!request) return fail("cannot allocate a netlink message", ENOMEM);
        return transact(socket.get(), request.get(), [&](const nlmsghdr* header) {
            const auto* route = head_of<rtmsg>(header);
            if (!route || header->nlmsg_type != RTM_NEWROUTE || route->rtm_type != type) return;
            const MessageAttributes<RTA_MAX> attributes(header, sizeof(rtmsg));
            Refusing found{.type = name, .to = {}};
            found.to.address.family = family == AF_INET ? Family::IPv4 : Family::IPv6;
            if (const auto to = address_of(family, attributes.at(RTA_DST))) found.to.address = *to;
            found.to.length = route->rtm_dst_len;
            found.table = attributes.value<uint32_t>(RTA_TABLE).value_or(route->rtm_table);
            found.metric = attributes.value<uint32_t>(RTA_PRIORITY).value_or(0);
            routes.push_back(std::move(found));
        });
    };
    for (const uint8_t family : {uint8_t{AF_INET}, uint8_t{AF_INET6}})
        for (const auto& [type, name] : types) {
            const std::size_t before = routes.size();
            KUDO_TRY(retry_dump([&, type = type, name = name] {
                         routes.resize(before);
                         return dump(family, type, name);
                     }).in("cannot read the routes that refuse packets"));
        }
    return routes;
}

Result<std::vector<uint32_t>> Routes::rule_marks() {
    std::vector<uint32_t> marks;
    const auto dump = [&](uint8_t family) -> Result<void> {
        fib_rule_hdr head{};
        head.family = family;
        const auto request = new_request(RTM_GETRULE, NLM_F_DUMP, head);
        if (!request) return fail("cannot allocate a netlink message", ENOMEM);
        return transact(request.get(), [&](const nlmsghdr* header) {
            const auto* rule = head_of<fib_rule_hdr>(header);
            if (!rule || header->nlmsg_type != RTM_NEWRULE || (rule->flags & FIB_RULE_INVERT)) return;
            const MessageAttributes<FRA_MAX> attributes(header, sizeof *rule);
            if (const auto mark = attributes.value<uint32_t>(FRA_FWMARK)) add_distinct(marks, *mark);
        });
    };
    for (const uint8_t family : {uint8_t{AF_INET}, uint8_t{AF_INET6}})
        KUDO_TRY(retry_dump([&] { return dump(family); }).in("cannot read the rules of routing"));
    return marks;
}

Result<std::vector<uint32_t>> Routes::interfaces_of_next_hop(uint32_t id) {
    if (const auto known = next_hops_.find(id); known != next_hops_.end()) return known->second;
    nhmsg head{};
    const auto request = new_request(RTM_GETNEXTHOP, 0, head);
    if (!request || nla_put_u32(request.get(), NHA_ID, id) < 0)
        return fail("cannot allocate a netlink message", ENOMEM);
    std::vector<uint32_t> interfaces, members;
    const auto asked = transact(socket_.get(), request.get(), [&](const nlmsghdr* header) {
        const MessageAttributes<NHA_MAX> attributes(header, sizeof head);
        if (const auto interface = attributes.value<uint32_t>(NHA_OIF)) add_distinct(interfaces, *interface);
        const nlattr* group = attributes.at(NHA_GROUP);
        for (int at = 0; group && at + static_cast<int>(sizeof(nexthop_grp)) <= nla_len(group);
             at += static_cast<int>(sizeof(nexthop_grp))) {
            nexthop_grp member{};
            std::memcpy(&member, static_cast<const char*>(nla_data(group)) + at, sizeof member);
            add_distinct(members, member.id);
        }
    });
    if (!asked && !is_refusal(asked.error())) return fail(Error(asked.error()).in("cannot look up a next hop"));
    next_hops_[id] = interfaces; // a group that holds itself would end here
    for (const uint32_t member : members)
        for (const uint32_t interface : KUDO_TRY(interfaces_of_next_hop(member)))
            add_distinct(interfaces, interface);
    return next_hops_[id] = interfaces;
}

} // namespace kudo
