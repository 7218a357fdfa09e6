// SPDX-License-Identifier: MIT
#include "agent/doctor/reach.h"

#include <netinet/in.h>

#include <algorithm>
#include <iterator>
#include <thread>

#include <fmt/format.h>

#include "agent/doctor/reach_judgement.h"
#include "agent/netlink/path_settings.h"
#include "bpf/stun.h"
#include "maps/base/text.h"

namespace kudo {
namespace {

using std::chrono::milliseconds;

// RFC 8489 section 6.2.1 begins with 500 ms; a person waits here.
const ProbeTimes media_times{{milliseconds(400), milliseconds(900)}, milliseconds(2500)};
constexpr milliseconds stream_time{2500}, tls_time{2500}, region_time{3000};
constexpr uint16_t https = 443;
constexpr std::size_t max_names = 16; // of the region, and of optional services

MediaServers ask_media(const Subject& subject) {
    MediaServers servers;
    const auto addresses = media_addresses(subject);
    for (const Address& address : addresses) {
        for (const bool allocate : {false, true})
            servers.datagrams.push_back({.to = address, .port = KUDO_STUN_PORT, .allocate = allocate});
        servers.streams.push_back({.to = address, .port = https});
    }
    {
        const std::jthread streams([&] { probe_streams(servers.streams, stream_time); });
        if (auto asked = probe_datagrams(servers.datagrams, media_times); !asked)
            servers.problem = asked.error().message;
    }
    // Of TLS those first that have shown themselves.
    std::vector<Address> order;
    for (const StreamProbe& probe : servers.streams)
        if (probe.response) order.push_back(probe.to);
    for (const StreamProbe& probe : servers.streams)
        if (probe.connected && !probe.response) order.push_back(probe.to);
    for (const DatagramProbe& probe : servers.datagrams)
        if (probe.response && std::ranges::find(order, probe.to) == order.end()) order.push_back(probe.to);
    for (std::size_t i = 0; i < addresses.size() && order.empty(); i += 1 + addresses.size() / max_tls_addresses)
        order.push_back(addresses[i]);
    order.resize(std::min(order.size(), max_tls_addresses));
    if (!has_tls_probe()) return servers;
    for (const Address& address : order)
        servers.tls.push_back({.host = address.text(),
                               .port = https,
                               .to = address,
                               .verify = Verify::Nothing, // no name that a certificate could have
                               .allocate = true,
                               .timeout = tls_time});
    probe_tls(servers.tls);
    return servers;
}

const MediaServers& media_of(Examination& examination) {
    if (!examination.media) examination.media = ask_media(examination.subject);
    return *examination.media;
}

// The first by IPv4, or what DNS64 made of it where this host has none.
std::optional<Address> address_of(const NameAnswer& name) {
    if (name.ipv4.empty() || is_nowhere(name.ipv4.front())) return std::nullopt;
    const auto route = read_route_state(name.ipv4.front());
    const bool routed = !route || route->kind != RouteState::Kind::None;
    return routed || name.ipv6.empty() ? name.ipv4.front() : name.ipv6.front();
}

std::vector<TlsProbe> names_of_port(const std::vector<NameAnswer>& names, uint16_t port) {
    std::vector<TlsProbe> probes;
    for (const NameAnswer& name : names)
        if (const auto to = address_of(name))
            probes.push_back({.host = name.name, .port = port, .to = to, .timeout = region_time});
    return probes;
}

// Servers of a region that the map has no names for: of their certificates only the issuer can be checked.
std::vector<TlsProbe> nameless_servers(const Subject& subject) {
    std::vector<TlsProbe> probes;
    for (const RangeRoute& way : subject.routes)
        if (way.class_ == KUDO_CLASS_CONTROL && way.range.length == way.range.address.bits() &&
            probes.size() < max_tls_addresses)
            probes.push_back({.host = way.address.text(),
                              .port = https,
                              .to = way.address,
                              .verify = Verify::Issuer,
                              .timeout = region_time});
    return probes;
}

} // namespace

std::vector<Address> media_addresses(const Subject& subject) {
    if (!subject.servers.empty()) {
        auto servers = subject.servers;
        servers.resize(std::min(servers.size(), max_media_addresses));
        return servers;
    }
    std::vector<Address> all;
    for (const RangeRoute& way : subject.routes)
        if (way.class_ == KUDO_CLASS_MEDIA && way.route.kind == RouteState::Kind::Unicast &&
            std::ranges::find(all, way.address) == all.end())
            all.push_back(way.address);
    const std::size_t count = std::min(all.size(), max_media_addresses);
    std::vector<Address> chosen;
    for (std::size_t i = 0; i < count; i++)
        chosen.push_back(all[i * all.size() / count]);
    return chosen;
}

CheckReport check_media_udp(Examination& examination) {
    if (const auto why = examination.subject.why_unreachable(); !why.empty()) return skipped(why);
    if (media_addresses(examination.subject).empty()) return skipped("no media range has a route");
    const MediaServers& servers = media_of(examination);
    if (!servers.problem.empty()) return skipped(servers.problem);
    return judge_media_udp(servers, examination.subject);
}

CheckReport check_media_tcp(Examination& examination) {
    if (const auto why = examination.subject.why_unreachable(); !why.empty()) return skipped(why);
    if (media_addresses(examination.subject).empty()) return skipped("no media range has a route");
    return judge_media_tcp(media_of(examination));
}

CheckReport check_nat(Examination& examination) {
    if (!examination.media) return skipped("no STUN server was asked");
    return judge_nat(*examination.media, examination.subject);
}

CheckReport check_dns(Examination& examination) {
    auto names = examination.subject.names(), teams = examination.subject.names(true);
    const std::size_t all = names.size();
    names.resize(std::min(names.size(), max_names));
    teams.resize(std::min(teams.size(), max_names));
    const auto of_region = static_cast<long>(names.size());
    std::ranges::copy(teams, std::back_inserter(names));
    auto answers = look_up_names(names, examination.subject.name_servers); // all at once
    examination.teams.assign(std::make_move_iterator(answers.begin() + of_region),
                             std::make_move_iterator(answers.end()));
    answers.resize(static_cast<std::size_t>(of_region));
    examination.names = std::move(answers);
    CheckReport report = judge_names(*examination.names, examination.subject);
    if (all > max_names)
        report.evidence.push_back(
            fmt::format("only the first {} of {} were looked up", max_names, counted(all, "name")));
    return report;
}

CheckReport check_region(Examination& examination) {
    if (!has_tls_probe()) return skipped("this program was built without libcurl");
    if (const auto why = examination.subject.why_unreachable(); !why.empty()) return skipped(why);
    if (examination.names) examination.region = names_of_port(*examination.names, https);
    if (examination.names && examination.names->empty()) examination.region = nameless_servers(examination.subject);
    if (examination.region.empty()) return skipped("no name of the region has an address; see dns");
    probe_tls(examination.region);
    CheckReport report = judge_tls(examination.region, "TLS to TCP 443");
    return unless_proxied(std::move(report), examination.region, examination.subject);
}

CheckReport check_inspection(Examination& examination) {
    const auto trusted = std::ranges::find_if(
        examination.region, [](const TlsProbe& probe) { return probe.connected && probe.verify != Verify::Nothing; });
    if (trusted == examination.region.end()) return skipped("no TLS connection to the region was trusted; see region");
    const auto added = is_issued_by_added_authority(*trusted);
    if (!added)
        return skipped("it cannot be told which certificate authorities are the distribution's "
                       "(/usr/share/ca-certificates)");
    if (!*added)
        return passed("nobody inspects TLS to the region: the issuer is one of the distribution's authorities",
                      {fmt::format("{}: issued by {}", trusted->host, trusted->issuer)});
    return {CheckResult::Warn,
            fmt::format("TLS is inspected: the certificate of {} is issued by {}, which was added to this host",
                        trusted->host, trusted->issuer),
            {},
            {},
            "Whoever runs that inspection exempts KUDO's domains and ranges: media over TLS does not survive it."};
}

CheckReport check_teams(Examination& examination) {
    if (examination.teams.empty()) return skipped("not asked for: --teams");
    if (!has_tls_probe()) return skipped("this program was built without libcurl");
    if (const auto why = examination.subject.why_unreachable(); !why.empty()) return skipped(why);
    if (CheckReport resolved = judge_names(examination.teams, examination.subject);
        resolved.result == CheckResult::Fail)
        return resolved;
    std::vector<TlsProbe> probes;
    for (const Service& service : examination.subject.map.services) {
        if (!service.optional || !is_chosen(service, examination.subject.options())) continue;
        for (const PortRule& port : service.ports)
            if (port.protocol == IPPROTO_TCP)
                std::ranges::move(names_of_port(examination.teams, port.port), std::back_inserter(probes));
    }
    if (probes.empty()) return skipped("no name of Teams' has an address");
    probe_tls(probes);
    return unless_proxied(judge_tls(probes, "Teams' ports"), probes, examination.subject);
}

CheckReport check_ipv6(Examination& examination) {
    if (!examination.names) return skipped("no name was looked up");
    if (std::ranges::none_of(*examination.names, [](const NameAnswer& name) { return name.problem.empty(); }))
        return skipped("no name was resolved; see dns");
    std::vector<TlsProbe> probes;
    std::size_t addresses = 0;
    for (const NameAnswer& name : *examination.names)
        for (const Address& address : name.ipv6) {
            addresses++;
            const auto route = read_route_state(address);
            if (route && route->kind == RouteState::Kind::Unicast && probes.size() < max_tls_addresses)
                probes.push_back({.host = name.name, .port = https, .to = address, .verify = Verify::Nothing});
        }
    if (addresses == 0) return passed("KUDO's names have no IPv6 addresses, so IPv6 makes no difference");
    if (probes.empty()) return passed("this host has no IPv6 route to KUDO's names and uses IPv4");
    if (!has_tls_probe()) return skipped("this program was built without libcurl");
    for (TlsProbe& probe : probes)
        probe.timeout = tls_time;
    probe_tls(probes);
    CheckReport report{.result = CheckResult::Pass, .summary = "KUDO's names answer over IPv6"};
    for (const TlsProbe& probe : probes) {
        report.evidence.push_back(fmt::format("{} at {}: {}", probe.host, probe.to->text(),
                                              probe.connected ? "TCP in " + rtt_text(probe.tcp) : probe.problem));
        if (probe.connected) continue;
        report.result = CheckResult::Warn;
        report.summary = fmt::format("this host has an IPv6 route, but {} does not answer at {}: programs wait before "
                                     "they take IPv4",
                                     probe.host, probe.to->text());
        report.advice = "Whoever runs the network lets IPv6 through, or does not announce it.";
    }
    return report;
}

} // namespace kudo
