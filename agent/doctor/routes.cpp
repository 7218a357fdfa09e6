// SPDX-License-Identifier: MIT
#include "agent/doctor/routes.h"

#include <linux/rtnetlink.h>

#include <algorithm>
#include <map>
#include <set>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "agent/doctor/command.h"
#include "agent/netlink/routes.h"
#include "maps/base/text.h"

namespace kudo {
namespace {

constexpr std::size_t max_ranges_shown = 4;

std::string families_option(const Prefix& prefix) {
    return prefix.address.family == Family::IPv6 ? "-6 " : "";
}

std::string delete_command(const Routes::Refusing& route) {
    std::string command = fmt::format("ip {}route del {} {}", families_option(route.to), route.type, route.to.text());
    if (route.table != RT_TABLE_MAIN) command += fmt::format(" table {}", route.table);
    if (route.metric != 0) command += fmt::format(" metric {}", route.metric);
    return command;
}

bool overlap(const Prefix& one, const Prefix& other) {
    return one.address.family == other.address.family && (one.contains(other) || other.contains(one));
}

RouteState::Kind kind_of(const std::string& type) {
    if (type == "blackhole") return RouteState::Kind::Blackhole;
    return type == "prohibit" ? RouteState::Kind::Prohibit : RouteState::Kind::Unreachable;
}

// By the kernel's own answer: a route with a better metric, another table or a more specific one may take its place.
bool is_in_the_way(const Routes::Refusing& route, const RangeRoute& way) {
    if (!overlap(route.to, way.range)) return false;
    if (!way.range.contains(route.to)) return way.route.kind == kind_of(route.type);
    const auto state = read_route_state(host_in(route.to));
    return state && state->kind == kind_of(route.type);
}

bool is_tunnel(const Interface& interface) {
    return interface.link == KUDO_LINK_NONE && !interface.ppp && !interface.loopback;
}

// The way past the tunnel: the next hop by another interface that KUDO could be reached by.
std::optional<Routes::NextHop> way_past(const Subject& subject, const Address& to) {
    auto routes = Routes::open();
    if (!routes) return std::nullopt;
    for (const Interface& interface : subject.interfaces) {
        if (!interface.up || interface.loopback || is_tunnel(interface)) continue;
        const auto hop = routes->next_hop({.to = to, .out = interface.index});
        if (hop && *hop && (*hop)->interface == interface.index && (*hop)->neighbour != to) return **hop;
    }
    return std::nullopt;
}

} // namespace

CheckReport check_routes(const Subject& subject) {
    if (subject.routes.empty()) return skipped("the chosen services have no ranges in the range map");
    std::map<std::string, std::vector<std::string>> refused; // by route_text()
    for (const RangeRoute& way : subject.routes)
        if (way.route.kind != RouteState::Kind::Unicast)
            refused[route_text(way.route)].push_back(fmt::format("{} ({})", way.range.text(), way.service));
    CheckReport report{.result = CheckResult::Fail};
    if (const auto refusing = Routes::refusing()) {
        for (const Routes::Refusing& route : *refusing) {
            const auto hit =
                std::ranges::find_if(subject.routes, [&](const RangeRoute& way) { return is_in_the_way(route, way); });
            if (hit == subject.routes.end()) continue;
            report.evidence.push_back(fmt::format("{} {}, which is in the way to {} ({})", route.type, route.to.text(),
                                                  hit->range.text(), hit->service));
            add_command(report.fix, delete_command(route));
        }
    } else {
        report.evidence.push_back(refusing.error().message);
    }
    std::size_t count = 0;
    for (const auto& [text, ranges] : refused) {
        count += ranges.size();
        const std::size_t shown = std::min(max_ranges_shown, ranges.size());
        report.evidence.push_back(
            fmt::format("{}: {}{}", text, fmt::join(ranges.begin(), ranges.begin() + static_cast<long>(shown), ", "),
                        ranges.size() > shown ? fmt::format(" and {} more", ranges.size() - shown) : ""));
    }
    if (count == 0 && report.fix.empty()) {
        std::set<std::string> interfaces;
        for (const RangeRoute& way : subject.routes)
            interfaces.insert(way.route.interface);
        const auto translated = std::ranges::count_if(subject.routes, &RangeRoute::behind_nat64);
        std::vector<std::string> evidence;
        if (translated > 0)
            evidence.push_back(
                fmt::format("{} of them are IPv4 and are asked for behind a NAT64; that one is there is not "
                            "proven by its route",
                            translated));
        return passed(fmt::format("all {} have a route, by {}", counted(subject.routes.size(), "range"),
                                  fmt::join(interfaces, ", ")),
                      std::move(evidence));
    }
    report.summary = count == 0
                         ? "a part of KUDO's ranges is refused by this host's routes"
                         : fmt::format("{} of {} have no usable route", count, counted(subject.routes.size(), "range"));
    if (report.fix.empty())
        report.advice = "Whoever configures this host's network adds the route: ip route add default via ROUTER.";
    return report;
}

CheckReport check_gateway(const Subject& subject) {
    std::map<std::string, std::string> hops; // "10.0.0.1 on eth0" and its state
    for (const RangeRoute& way : subject.routes)
        if (way.route.kind == RouteState::Kind::Unicast && way.route.neighbour)
            hops[fmt::format("{} on {}", way.route.neighbour->text(), way.route.interface)] = way.route.neighbour_state;
    if (hops.empty()) return skipped("no route to KUDO has a single next hop");
    CheckReport report{.result = CheckResult::Pass, .summary = "the next hop is reachable as far as the kernel knows"};
    for (const auto& [hop, state] : hops) {
        report.evidence.push_back(fmt::format("{}: {}", hop, state.empty() ? "no entry yet" : state));
        if (!is_silent_neighbour(state)) continue;
        report.result = CheckResult::Fail;
        report.summary = fmt::format("the next hop {} does not answer ARP or neighbour discovery", hop);
        report.advice = "Whoever runs that router, or the cable and switch between: is it on, and is this its address?";
    }
    return report;
}

CheckReport check_tunnel(const Subject& subject) {
    std::map<std::string, std::vector<const RangeRoute*>> tunnels;
    for (const RangeRoute& way : subject.routes)
        if (const Interface* interface = subject.find(way.route.interface); interface && is_tunnel(*interface))
            tunnels[interface->name].push_back(&way);
    if (subject.routes.empty()) return skipped("the chosen services have no ranges in the range map");
    if (const auto why = subject.why_unreachable(); tunnels.empty() && !why.empty()) return skipped(why);
    if (tunnels.empty()) return passed("KUDO goes through no VPN or tunnel that can be told by its interface");
    CheckReport report{.result = CheckResult::Warn};
    std::string past_it;
    for (const auto& [name, ways] : tunnels) {
        report.evidence.push_back(fmt::format("{}: {} of {} go there (MTU {})", name, ways.size(),
                                              counted(subject.routes.size(), "range"), subject.find(name)->mtu));
        const auto past = way_past(subject, ways.front()->address);
        if (!past) continue;
        std::vector<std::string> lines;
        for (const RangeRoute* way : ways)
            if (way->range.address.family == past->neighbour.family) lines.push_back(way->range.text());
        std::ranges::sort(lines);
        lines.erase(std::unique(lines.begin(), lines.end()), lines.end());
        const auto* out = &*std::ranges::find(subject.interfaces, past->interface, &Interface::index);
        if (shell_quoted(out->name) == out->name)
            add_command(past_it, fmt::format("printf 'route replace %s via {} dev {}\\n' {} | ip -batch -",
                                             past->neighbour.text(), out->name, fmt::join(lines, " ")));
    }
    report.summary =
        fmt::format("KUDO goes through the tunnel {}: a longer way, and marks end there", tunnels.begin()->first);
    report.advice = "Whoever runs the VPN leaves KUDO's ranges out of it (split tunnel).";
    // Perhaps it is there so that nothing leaves past it.
    if (!past_it.empty()) report.advice += " If it is not wanted for KUDO: " + past_it;
    return report;
}

CheckReport check_rp_filter(const Subject& subject) {
    if (subject.wanted.present.empty()) return skipped("no interface leads to KUDO; see routes");
    CheckReport report{.result = CheckResult::Pass, .summary = "the reverse path filter lets KUDO's answers in"};
    for (const Interface& interface : subject.wanted.present) {
        const auto settings = read_interface_settings(interface.name);
        if (!settings) return skipped(settings.error().message);
        const auto value = settings->effective_rp_filter();
        if (!value) return skipped(interface.name + ": its reverse path filter could not be read");
        report.evidence.push_back(settings->rp_filter_text());
        if (*value != 1) continue;
        // Strict: what comes in must have come by the interface that the way back leads to.
        const auto other = std::ranges::find_if(subject.routes, [&](const RangeRoute& way) {
            return way.address.family == Family::IPv4 && way.route.kind == RouteState::Kind::Unicast &&
                   way.route.interface != interface.name;
        });
        if (other == subject.routes.end()) continue;
        report.result = CheckResult::Warn;
        report.summary = fmt::format("what comes from KUDO by {} would be dropped: the way back leads by {}, and {}",
                                     interface.name, other->route.interface, settings->rp_filter_text());
        // The greater of "all" and the interface's own counts: 2 is loose.
        add_command(report.fix,
                    shell_command({"sysctl", "-w", fmt::format("net/ipv4/conf/{}/rp_filter=2", interface.name)}));
    }
    return report;
}

} // namespace kudo
