// SPDX-License-Identifier: MIT
#include "agent/doctor/firewall.h"

#include <linux/if_packet.h>
#include <netinet/in.h>

#include <algorithm>
#include <chrono>
#include <map>
#include <set>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "agent/firewall/dropping_rule.h"
#include "maps/base/text.h"

namespace kudo {
namespace {

using Clock = std::chrono::steady_clock;
constexpr std::chrono::seconds max_walk_time{3};
constexpr uint8_t tcp_syn = 2;
constexpr int conntrack_priority = -200; // NF_IP_PRI_CONNTRACK

// Packets of one range and port, in one direction.
std::vector<PacketFacts> packets_of(const RangeRoute& way, const PortRule& port, FirewallSide side, bool marked) {
    PacketFacts facts{.protocol = port.protocol, .source = {}, .destination = {}};
    if (!marked) facts.mark = 0; // of applications' sockets, as they come
    facts.ct_states = CtEstablished;
    if (side == FirewallSide::In) {
        facts.path = PacketPath::In;
        facts.source = way.address;
        facts.source_port = port.port;
        facts.destination = *way.source;
        facts.input = way.route.interface;
        facts.packet_type = PACKET_HOST;
        return {facts};
    }
    facts.path = PacketPath::Out;
    facts.source = *way.source;
    facts.destination = way.address;
    facts.destination_port = port.port;
    facts.output = way.route.interface;
    PacketFacts first = facts;
    first.ct_states = CtNew;
    if (port.protocol == IPPROTO_TCP) first.tcp_flags = tcp_syn;
    return {first, facts};
}

struct Hit {
    DropPoint point;
    bool certain = false;
    std::map<PortRule, std::vector<Prefix>> what{};
    std::set<std::string> services{}, undecided{};
};

// Without those that lie in another: an anonymous set takes no overlaps.
std::vector<std::string> outermost(std::vector<Prefix> prefixes) {
    std::ranges::sort(prefixes);
    prefixes.erase(std::unique(prefixes.begin(), prefixes.end()), prefixes.end());
    std::vector<std::string> texts;
    for (const Prefix& prefix : prefixes)
        if (std::ranges::none_of(prefixes,
                                 [&](const Prefix& other) { return other != prefix && other.contains(prefix); }))
            texts.push_back(prefix.text());
    return texts;
}

bool has_states(const DropPoint& point) {
    if (point.hook == "ingress" || point.hook == "egress") return false;
    return (point.hook != "prerouting" && point.hook != "output") || point.priority > conntrack_priority;
}

// A rule at the head of the chain that drops, for exactly what is dropped there.
std::string allow_command(const Hit& hit, FirewallSide side) {
    const DropPoint& point = hit.point;
    std::string command;
    const bool in = side == FirewallSide::In;
    for (const auto& [port, prefixes] : hit.what)
        for (const Family family : {Family::IPv4, Family::IPv6}) {
            std::vector<Prefix> of_family;
            std::ranges::copy_if(prefixes, std::back_inserter(of_family),
                                 [&](const Prefix& prefix) { return prefix.address.family == family; });
            if (of_family.empty()) continue;
            const auto ranges = outermost(of_family);
            const char* protocol = port.protocol == IPPROTO_UDP ? "udp" : "tcp";
            if (!command.empty()) command += " && ";
            if (point.legacy)
                command +=
                    fmt::format("{} -t {} -I {} -{} {} -p {} --{} {}{} -j ACCEPT",
                                family == Family::IPv4 ? "iptables-legacy" : "ip6tables-legacy", point.table,
                                point.chain, in ? "s" : "d", fmt::join(ranges, ","), protocol, in ? "sport" : "dport",
                                port.port, in && has_states(point) ? " -m conntrack --ctstate ESTABLISHED" : "");
            else
                command +=
                    fmt::format("nft 'insert rule {} {} {} {} {} {{ {} }} {} {} {}{} accept'", point.family,
                                point.table, point.chain, family == Family::IPv4 ? "ip" : "ip6", in ? "saddr" : "daddr",
                                fmt::join(ranges, ", "), protocol, in ? "sport" : "dport", port.port,
                                in && has_states(point) ? " ct state established" : "");
        }
    return command;
}

std::string what_text(const Hit& hit) {
    std::vector<std::string> texts;
    for (const auto& [port, prefixes] : hit.what)
        texts.push_back(fmt::format("{} of {}", port.text(), counted(outermost(prefixes).size(), "range")));
    return fmt::format("{} ({})", fmt::join(texts, ", "), fmt::join(hit.services, ", "));
}

} // namespace

CheckReport judge_ruleset(const Ruleset& ruleset, const Subject& subject, FirewallSide side) {
    const char* direction = side == FirewallSide::In ? "incoming" : "outgoing";
    const auto end = Clock::now() + max_walk_time;
    std::vector<Hit> hits;
    std::size_t looked = 0, all = 0;
    bool too_large = false;
    for (const RangeRoute& way : subject.routes) {
        if (way.route.kind != RouteState::Kind::Unicast || !way.source) continue;
        for (const PortRule& port : way.ports)
            for (const PacketFacts& facts : packets_of(way, port, side, subject.desired.firewall_mark_mask != 0)) {
                all++;
                if (Clock::now() > end) continue;
                const RuleForecast found = forecast(ruleset, facts);
                if (found.kind == RuleForecast::Kind::Unknown) {
                    too_large = true;
                    continue;
                }
                looked++;
                for (const DropPoint& point : found.points) {
                    auto hit = std::ranges::find_if(
                        hits, [&](const Hit& known) { return name_of(known.point) == name_of(point); });
                    if (hit == hits.end()) hit = hits.insert(hits.end(), Hit{.point = point});
                    hit->certain |= found.kind == RuleForecast::Kind::Drops;
                    hit->services.insert(way.service);
                    hit->undecided.insert(point.undecided.begin(), point.undecided.end());
                    hit->what[port].push_back(way.range);
                }
            }
    }
    if (all == 0) return skipped("no range of KUDO's has a route");
    CheckReport report{.result = CheckResult::Pass};
    for (const Hit& hit : hits) {
        const CheckResult result = hit.certain ? CheckResult::Fail : CheckResult::Warn;
        std::string text = fmt::format("{} {} {} {}", direction, what_text(hit),
                                       hit.certain ? "is dropped by" : "may be dropped by", name_of(hit.point));
        if (!hit.undecided.empty()) text += fmt::format(", by {}", fmt::join(hit.undecided, " and "));
        if (report.summary.empty() || result > report.result) report.summary = text;
        report.result = std::max(report.result, result);
        report.evidence.push_back(text + ": " + hit.point.text +
                                  (hit.point.comment.empty() ? "" : fmt::format(" ({})", hit.point.comment)));
        if (!report.fix.empty()) report.fix += " && ";
        report.fix += allow_command(hit, side);
    }
    for (const std::string& gap : ruleset.gaps())
        report.evidence.push_back(gap);
    if (!hits.empty()) {
        report.advice = "Where a file or program makes the rules, put it there: kudo-agent firewall show prints the "
                        "rules for nft, iptables, ufw and firewalld.";
        return report;
    }
    if (too_large || looked < all) {
        report.result = CheckResult::Skip;
        report.summary = fmt::format(
            "the ruleset is too large: {} of {} kinds of packets were followed, none is dropped", looked, all);
    } else if (!ruleset.gaps().empty()) {
        report.result = CheckResult::Skip;
        report.summary = fmt::format("what could be read of the rules drops nothing {} of KUDO's", direction);
    } else if (!ruleset.filters_anything())
        report.summary = "this host has no firewall rules";
    else
        report.summary =
            fmt::format("no rule drops what is {} of KUDO's ({})", direction, counted(looked, "kind") + " of packets");
    return report;
}

namespace {
CheckReport check(const Subject& subject, FirewallSide side) {
    const auto ruleset = read_ruleset();
    if (ruleset) return judge_ruleset(*ruleset, subject, side);
    if (ruleset.error().kind == ErrorKind::NotPermitted) return skipped("only root may see the firewall's rules");
    return skipped("the firewall's rules could not be read: " + ruleset.error().message);
}
} // namespace

CheckReport check_firewall_out(const Subject& subject) {
    return check(subject, FirewallSide::Out);
}
CheckReport check_firewall_in(const Subject& subject) {
    return check(subject, FirewallSide::In);
}

} // namespace kudo
