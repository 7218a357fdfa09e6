// SPDX-License-Identifier: MIT
#include "agent/netlink/path_settings.h"

#include <arpa/inet.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>

#include <fmt/format.h>

#include "agent/netlink/address.h"
#include "agent/netlink/interfaces.h"
#include "agent/netlink/netlink.h"
#include "agent/netlink/routes.h"

namespace kudo {
namespace {

// Of the network namespace of whoever opens it.
template <typename T> std::optional<T> sysctl(const std::string& name) {
    std::ifstream file("/proc/sys/net/" + name);
    T value{};
    if (!(file >> value)) return std::nullopt;
    return value;
}

std::optional<bool> switched(const std::string& name) {
    const auto value = sysctl<int>(name);
    return value ? std::optional(*value != 0) : std::nullopt;
}

Result<std::string> interface_name(uint32_t index) {
    const auto interfaces = KUDO_TRY(list_interfaces());
    const auto found = std::ranges::find(interfaces, index, &Interface::index);
    return found == interfaces.end() ? std::string() : found->name;
}

RouteState::Kind kind_of(uint8_t type) {
    switch (type) {
    case RTN_UNICAST:
        return RouteState::Kind::Unicast;
    case RTN_LOCAL:
        return RouteState::Kind::Local;
    case RTN_UNREACHABLE:
        return RouteState::Kind::Unreachable;
    case RTN_BLACKHOLE:
        return RouteState::Kind::Blackhole;
    case RTN_PROHIBIT:
        return RouteState::Kind::Prohibit;
    default:
        return RouteState::Kind::Other;
    }
}

// What a lookup says where a route refuses (fib_props[], ip6_pol_route()): IPv4's blackhole is EINVAL.
std::optional<RouteState::Kind> kind_of_error(int number) {
    switch (number) {
    case ENETUNREACH:
        return RouteState::Kind::None;
    case EHOSTUNREACH:
        return RouteState::Kind::Unreachable;
    case EINVAL:
        return RouteState::Kind::Blackhole;
    case EACCES:
        return RouteState::Kind::Prohibit;
    default:
        return std::nullopt;
    }
}

// linux/neighbour.h, NUD_*: one bit.
std::string_view name_of_state(uint16_t state) {
    static constexpr std::pair<uint16_t, std::string_view> names[] = {
        {NUD_INCOMPLETE, "incomplete"}, {NUD_REACHABLE, "reachable"}, {NUD_STALE, "stale"},
        {NUD_DELAY, "delay"},           {NUD_PROBE, "probe"},         {NUD_FAILED, "failed"},
        {NUD_NOARP, "noarp"},           {NUD_PERMANENT, "permanent"}};
    for (const auto& [bit, name] : names)
        if (state == bit) return name;
    return {};
}

// Empty: the kernel has no entry.
Result<std::string> neighbour_state(const Address& neighbour, uint32_t interface) {
    ndmsg head{};
    head.ndm_family = neighbour.family == Family::IPv4 ? AF_INET : AF_INET6;
    head.ndm_ifindex = static_cast<int>(interface);
    const auto request = new_request(RTM_GETNEIGH, 0, head);
    const int size = static_cast<int>(neighbour.bits() / 8);
    if (!request || nla_put(request.get(), NDA_DST, size, neighbour.bytes.data()) < 0)
        return fail("cannot allocate a netlink message", ENOMEM);
    std::string state;
    const auto asked = transact(request.get(), [&](const nlmsghdr* header) {
        const auto* entry = head_of<ndmsg>(header);
        if (entry && header->nlmsg_type == RTM_NEWNEIGH) state = name_of_state(entry->ndm_state);
    });
    // An interface without neighbours (tun, wireguard) answers EINVAL or ENODEV.
    if (!asked && asked.error().number != ENOENT && asked.error().number != EINVAL && asked.error().number != ENODEV)
        return fail(Error(asked.error()).in("cannot ask for the neighbour " + neighbour.text()));
    return state;
}

// Interface and MTU of the route as the kernel resolves it; its type as it is configured.
struct RouteAnswer {
    RouteState state;
    uint32_t interface = 0;
};

Result<RouteAnswer> ask_route(const Address& to, const std::optional<Address>& from, uint32_t mark, unsigned flags) {
    rtmsg head{};
    head.rtm_family = to.family == Family::IPv4 ? AF_INET : AF_INET6;
    head.rtm_dst_len = static_cast<uint8_t>(to.bits());
    head.rtm_src_len = from ? head.rtm_dst_len : 0;
    head.rtm_flags = flags;
    const int size = static_cast<int>(to.bits() / 8);
    const auto request = new_request(RTM_GETROUTE, 0, head);
    if (!request || nla_put(request.get(), RTA_DST, size, to.bytes.data()) < 0 ||
        (from && nla_put(request.get(), RTA_SRC, size, from->bytes.data()) < 0) ||
        (mark && nla_put_u32(request.get(), RTA_MARK, mark) < 0))
        return fail("cannot allocate a netlink message", ENOMEM);
    RouteAnswer answer;
    const auto asked = transact(request.get(), [&](const nlmsghdr* header) {
        const auto* route = head_of<rtmsg>(header);
        if (!route || header->nlmsg_type != RTM_NEWROUTE) return;
        const MessageAttributes<RTA_MAX> attributes(header, sizeof(rtmsg));
        answer.state.kind = kind_of(route->rtm_type);
        answer.interface = attributes.value<uint32_t>(RTA_OIF).value_or(0);
        const nlattr* source = attributes.at(RTA_PREFSRC);
        if (source && nla_len(source) == size)
            answer.state.source = Address::from_bytes(to.family, static_cast<const uint8_t*>(nla_data(source)));
        const nlattr* metrics[RTAX_MAX + 1] = {};
        if (const nlattr* nested = attributes.at(RTA_METRICS)) {
            nla_parse_nested(const_cast<nlattr**>(metrics), RTAX_MAX, const_cast<nlattr*>(nested), nullptr);
            if (const auto mtu = value_of<uint32_t>(metrics[RTAX_MTU])) answer.state.mtu = *mtu;
        }
    });
    if (asked) return answer;
    const auto kind = kind_of_error(asked.error().number);
    if (!kind) return fail(Error(asked.error()).in("cannot look up the route to " + to.text()));
    answer.state.kind = *kind;
    return answer;
}

} // namespace

std::optional<int> InterfaceSettings::effective_rp_filter() const {
    if (!rp_filter || !rp_filter_all) return std::nullopt;
    return std::max(*rp_filter, *rp_filter_all);
}

std::string InterfaceSettings::rp_filter_text() const {
    const auto value = effective_rp_filter();
    if (!value) return {};
    const char* words = *value == 1 ? "strict" : *value == 2 ? "loose" : "off";
    return fmt::format("net.ipv4.conf.{}.rp_filter is {} ({})", *rp_filter >= *rp_filter_all ? name : "all", *value,
                       words);
}

Result<InterfaceSettings> read_interface_settings(const std::string& name) {
    const auto interfaces = KUDO_TRY(list_interfaces());
    const auto found = std::ranges::find_if(interfaces, [&](const Interface& one) { return one.is_called(name); });
    if (found == interfaces.end()) return fail(name + ": no such interface", ENODEV);
    InterfaceSettings settings{.name = found->name, .mtu = found->mtu, .up = found->up};
    // In /proc/sys a name's dot is a slash, as sysctl(8) writes it; in the path of a file it stays.
    const std::string v4 = "ipv4/conf/" + found->name + "/", v6 = "ipv6/conf/" + found->name + "/";
    settings.rp_filter = sysctl<int>(v4 + "rp_filter");
    settings.rp_filter_all = sysctl<int>("ipv4/conf/all/rp_filter");
    settings.forwarding_v4 = switched(v4 + "forwarding");
    settings.forwarding_v6 = switched(v6 + "forwarding");
    settings.ipv6_disabled = switched(v6 + "disable_ipv6");
    return settings;
}

SocketSettings read_socket_settings() {
    SocketSettings settings;
    settings.rmem_default = sysctl<uint64_t>("core/rmem_default");
    settings.rmem_max = sysctl<uint64_t>("core/rmem_max");
    settings.netdev_max_backlog = sysctl<uint64_t>("core/netdev_max_backlog");
    const auto page = static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
    SocketSettings::UdpMemory memory;
    if (std::ifstream("/proc/sys/net/ipv4/udp_mem") >> memory.low >> memory.pressure >> memory.high)
        settings.udp_mem = {memory.low * page, memory.pressure * page, memory.high * page};
    SocketSettings::PortRange ports;
    if (std::ifstream("/proc/sys/net/ipv4/ip_local_port_range") >> ports.first >> ports.last)
        settings.local_ports = ports;
    // "UDP: inuse 3 mem 2", in pages, of all network namespaces together.
    std::ifstream statistics("/proc/thread-self/net/sockstat");
    for (std::string word; statistics >> word;) {
        if (word != "UDP:") continue;
        std::string in_use, mem;
        uint64_t count = 0, pages = 0;
        if (statistics >> in_use >> count >> mem >> pages && mem == "mem") settings.udp_memory_used = pages * page;
        break;
    }
    return settings;
}

Result<RouteState> read_route_state(const Address& to, const std::optional<Address>& from, uint32_t mark) {
    // Resolved: with the MTU that was learned.
    auto answer = KUDO_TRY(ask_route(to, from, mark, 0));
    RouteState& state = answer.state;
    if (state.kind != RouteState::Kind::Unicast) return state;
    state.interface = KUDO_TRY(interface_name(answer.interface));
    auto routes = KUDO_TRY(Routes::open());
    const auto hop = KUDO_TRY(routes.next_hop({.to = to, .from = from, .mark = mark}));
    if (!hop) return state;
    state.neighbour = hop->neighbour;
    state.neighbour_state = KUDO_TRY(neighbour_state(hop->neighbour, hop->interface));
    return state;
}

std::string route_text(const RouteState& state) {
    switch (state.kind) {
    case RouteState::Kind::None:
        return "no route";
    case RouteState::Kind::Unreachable:
        return "unreachable route";
    case RouteState::Kind::Blackhole:
        return "blackhole route";
    case RouteState::Kind::Prohibit:
        return "prohibit route";
    case RouteState::Kind::Local:
        return "an address of this host";
    case RouteState::Kind::Other:
        return "a route that is not to a single host";
    case RouteState::Kind::Unicast:
        break;
    }
    std::string text = state.neighbour ? fmt::format("via {} on {}", state.neighbour->text(), state.interface)
                                       : fmt::format("on {}", state.interface);
    if (state.mtu) text += fmt::format(", MTU {}", *state.mtu);
    if (state.neighbour_state == "failed" || state.neighbour_state == "incomplete")
        text += fmt::format(", which does not answer ({})", state.neighbour_state);
    return text;
}

} // namespace kudo
