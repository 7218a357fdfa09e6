// SPDX-License-Identifier: MIT
#include "agent/doctor/firewall.h"

#include <linux/if_packet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <map>
#include <set>
#include <string_view>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "agent/confined/process.h"
#include "agent/doctor/command.h"
#include "agent/doctor/report_lines.h"
#include "agent/firewall/dropping_rule.h"
#include "agent/firewall/model.h"
#include "maps/base/text.h"

namespace kudo {
namespace {

using Clock = std::chrono::steady_clock;
constexpr std::chrono::seconds max_walk_time{2}, max_read_time{6};
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

// Is it a table that iptables-nft keeps? Another's rule in it would make iptables call it incompatible from then on.
bool is_of_iptables(const Ruleset& ruleset, const DropPoint& point) {
    constexpr std::string_view tables[] = {"filter", "mangle", "raw", "nat", "security"};
    constexpr std::string_view bases[] = {"PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"};
    if (point.legacy) return true;
    if ((point.family != "ip" && point.family != "ip6") || std::ranges::find(tables, point.table) == std::end(tables))
        return false;
    return std::ranges::all_of(ruleset.model().chains, [&](const firewall::Chain& chain) {
        return chain.legacy || chain.family != point.family || chain.table != point.table ||
               chain.hook == firewall::Hook::None || std::ranges::find(bases, chain.name) != std::end(bases);
    });
}

// nft(8) has no quotes for names: what is none of its words cannot be written.
bool is_nft_name(std::string_view name) {
    const auto is_letter = [](char letter) {
        return (letter >= 'a' && letter <= 'z') || (letter >= 'A' && letter <= 'Z');
    };
    return !name.empty() && is_letter(name.front()) && std::ranges::all_of(name, [&](char letter) {
        return is_letter(letter) || (letter >= '0' && letter <= '9') ||
               std::string_view("_.-/\\").find(letter) != std::string_view::npos;
    });
}

// A rule at the head of the chain that drops, for exactly what is dropped there. Empty: a name cannot be written.
std::string allow_command(const Ruleset& ruleset, const Hit& hit, FirewallSide side) {
    const DropPoint& point = hit.point;
    const bool in = side == FirewallSide::In, by_iptables = is_of_iptables(ruleset, point);
    const bool states = in && has_states(point);
    if (!by_iptables && (!is_nft_name(point.table) || !is_nft_name(point.chain))) return "";
    std::string commands;
    for (const auto& [port, prefixes] : hit.what)
        for (const Family family : {Family::IPv4, Family::IPv6}) {
            std::vector<Prefix> of_family;
            std::ranges::copy_if(prefixes, std::back_inserter(of_family),
                                 [&](const Prefix& prefix) { return prefix.address.family == family; });
            if (of_family.empty()) continue;
            const auto ranges = outermost(of_family);
            const bool v4 = family == Family::IPv4;
            const std::string protocol = port.protocol == IPPROTO_UDP ? "udp" : "tcp";
            if (by_iptables) {
                std::vector<std::string> words{
                    fmt::format("{}-{}", v4 ? "iptables" : "ip6tables", point.legacy ? "legacy" : "nft"),
                    "-t",
                    point.table,
                    "-I",
                    point.chain,
                    in ? "-s" : "-d",
                    fmt::format("{}", fmt::join(ranges, ",")),
                    "-p",
                    protocol,
                    in ? "--sport" : "--dport",
                    std::to_string(port.port)};
                if (states) words.insert(words.end(), {"-m", "conntrack", "--ctstate", "ESTABLISHED"});
                words.insert(words.end(), {"-j", "ACCEPT"});
                add_command(commands, shell_command(words));
            } else {
                add_command(commands,
                            shell_command({"nft", fmt::format("insert rule {} {} {} {} {} {{ {} }} {} {} {}{} accept",
                                                              point.family, point.table, point.chain, v4 ? "ip" : "ip6",
                                                              in ? "saddr" : "daddr", fmt::join(ranges, ", "), protocol,
                                                              in ? "sport" : "dport", port.port,
                                                              states ? " ct state established" : "")}));
            }
        }
    return commands;
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
    if (all == 0 && std::ranges::any_of(subject.routes, [](const RangeRoute& way) {
            return way.route.kind == RouteState::Kind::Unicast;
        }))
        return skipped("no address of this host is the source of packets to KUDO");
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
        add_command(report.fix, allow_command(ruleset, hit, side));
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

CheckReport judge_read(const Result<Ruleset>& ruleset, const Subject& subject, FirewallSide side) {
    if (ruleset) return judge_ruleset(*ruleset, subject, side);
    if (ruleset.error().kind == ErrorKind::NotPermitted) return skipped("only root may see the firewall's rules");
    return skipped("the firewall's rules could not be read: " + ruleset.error().message);
}

void tell_side(int socket, FirewallSide side, CheckReport report) {
    const std::string line =
        report_line({.check = static_cast<std::size_t>(side), .report = std::move(report), .took = {}});
    static_cast<void>(send(socket, line.data(), line.size(), MSG_NOSIGNAL)); // blocks until all of it is taken
}

// Sides that it has not told of are skipped with the reason.
FirewallReports read_and_judge(const Subject& subject) {
    FirewallReports reports{skipped("not read"), skipped("not read")};
    bool told[2] = {};
    const auto deadline = Clock::now() + max_read_time;
    auto process = ConfinedProcess::start(Confinement::Reading, [&](int socket) {
        const auto ruleset = read_ruleset();
        for (const FirewallSide side : {FirewallSide::Out, FirewallSide::In})
            tell_side(socket, side, judge_read(ruleset, subject, side));
    });
    std::string why = process ? "" : process.error().message, received;
    while (why.empty() && !(told[0] && told[1])) {
        const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now()).count();
        pollfd waits{process->socket(), POLLIN, 0};
        if (left <= 0 || poll(&waits, 1, static_cast<int>(left)) == 0) {
            why = fmt::format("they are too many to read in {} s", max_read_time.count());
            break;
        }
        std::array<char, 16384> bytes{};
        const ssize_t got = recv(process->socket(), bytes.data(), bytes.size(), MSG_DONTWAIT);
        if (got < 0 && (errno == EINTR || errno == EAGAIN)) continue;
        if (got <= 0) {
            why = "what reads them " + process->end();
            break;
        }
        received.append(bytes.data(), static_cast<std::size_t>(got));
        for (std::size_t at; (at = received.find('\n')) != std::string::npos; received.erase(0, at + 1)) {
            const auto line = parse_report_line(std::string_view(received).substr(0, at), Commands::Taken);
            if (!line || line->check > 1) continue;
            told[line->check] = true;
            (line->check == static_cast<std::size_t>(FirewallSide::Out) ? reports.out : reports.in) = line->report;
        }
    }
    if (!told[0]) reports.out = skipped("the firewall's rules could not be read: " + why);
    if (!told[1]) reports.in = skipped("the firewall's rules could not be read: " + why);
    return reports;
}

const FirewallReports& reports_of(Examination& examination) {
    if (!examination.firewall) examination.firewall = read_and_judge(examination.subject);
    return *examination.firewall;
}

} // namespace

CheckReport check_firewall_out(Examination& examination) {
    return reports_of(examination).out;
}
CheckReport check_firewall_in(Examination& examination) {
    return reports_of(examination).in;
}

} // namespace kudo
