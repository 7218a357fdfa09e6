// SPDX-License-Identifier: MIT
#include "agent/doctor/reach.h"

#include <netinet/in.h>

#include <algorithm>
#include <cstring>
#include <iterator>
#include <map>
#include <set>
#include <thread>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "agent/netlink/path_settings.h"
#include "bpf/stun.h"
#include "maps/base/text.h"

namespace kudo {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;

// RFC 8489 section 6.2.1 begins with 500 ms; a person waits here.
const ProbeTimes media_times{{milliseconds(400), milliseconds(900)}, milliseconds(2500)};
constexpr milliseconds stream_time{2500}, tls_time{2500}, region_time{3000};
constexpr uint16_t https = 443;
constexpr std::size_t max_texts_shown = 6;

std::string rtt_text(microseconds time) {
    return fmt::format("{:.1f} ms", static_cast<double>(time.count()) / 1000);
}

std::string shown(const std::vector<std::string>& texts) {
    const std::size_t count = std::min(texts.size(), max_texts_shown);
    return fmt::format("{}{}", fmt::join(texts.begin(), texts.begin() + static_cast<long>(count), ", "),
                       texts.size() > count ? fmt::format(" and {} more", texts.size() - count) : "");
}

struct Rtts {
    std::optional<microseconds> least, most;
    void add(microseconds time) {
        least = std::min(least.value_or(time), time);
        most = std::max(most.value_or(time), time);
    }
    [[nodiscard]] std::string text() const {
        return least ? fmt::format("round trip {} to {}", rtt_text(*least), rtt_text(*most)) : "";
    }
};

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
                               .verify = false, // no name that a certificate could have
                               .allocate = true,
                               .timeout = tls_time});
    probe_tls(servers.tls);
    return servers;
}

const MediaServers& media_of(Examination& examination) {
    if (!examination.media) examination.media = ask_media(examination.subject);
    return *examination.media;
}

// Addresses by which something has answered, whatever the protocol.
std::set<Address> answered_by_tcp(const MediaServers& servers) {
    std::set<Address> found;
    for (const StreamProbe& probe : servers.streams)
        if (probe.response) found.insert(probe.to);
    for (const TlsProbe& probe : servers.tls)
        if (probe.response && probe.to) found.insert(*probe.to);
    return found;
}
std::set<Address> answered_by_udp(const MediaServers& servers) {
    std::set<Address> found;
    for (const DatagramProbe& probe : servers.datagrams)
        if (probe.response) found.insert(probe.to);
    return found;
}

std::size_t count_addresses(const MediaServers& servers) {
    return servers.streams.size();
}

const char* silence = "an address in a range need not be a server's, so silence alone does not prove that the way is "
                      "closed; name servers of your account with --server";
const char* allow_advice =
    "Whoever runs the network's firewall allows {} to KUDO's ranges, and its answers; kudo-agent "
    "firewall show --format json lists them.";

std::vector<TlsProbe> names_of_port(const std::vector<NameAnswer>& names, uint16_t port) {
    std::vector<TlsProbe> probes;
    for (const NameAnswer& name : names)
        if (!name.ipv4.empty())
            probes.push_back({.host = name.name, .port = port, .to = name.ipv4.front(), .timeout = region_time});
    return probes;
}

// Servers of a region that the map has no names for: their certificates cannot be checked.
std::vector<TlsProbe> nameless_servers(const Subject& subject) {
    std::vector<TlsProbe> probes;
    for (const RangeRoute& way : subject.routes)
        if (way.class_ == KUDO_CLASS_CONTROL && way.range.length == way.range.address.bits() &&
            probes.size() < max_tls_addresses)
            probes.push_back({.host = way.address.text(),
                              .port = https,
                              .to = way.address,
                              .verify = false,
                              .timeout = region_time});
    return probes;
}

std::string why_not(const TlsProbe& probe) {
    return probe.issuer.empty() ? probe.problem
                                : fmt::format("{}; its certificate is issued by {}", probe.problem, probe.issuer);
}

// One line each; the first problem is the summary.
CheckReport judge_tls(const std::vector<TlsProbe>& probes, const std::string& what) {
    CheckReport report{.result = CheckResult::Pass};
    std::size_t failed = 0;
    bool certificate = false;
    Rtts rtts;
    for (const TlsProbe& probe : probes) {
        const std::string text = fmt::format("{}:{} ({})", probe.host, probe.port, probe.to->text());
        if (probe.connected) {
            rtts.add(probe.tcp);
            report.evidence.push_back(fmt::format("{}: TCP in {}, TLS in {}, issued by {}", text, rtt_text(probe.tcp),
                                                  rtt_text(probe.tls), probe.issuer));
            continue;
        }
        failed++;
        certificate |= probe.is_certificate;
        report.evidence.push_back(fmt::format("{}: {}", text, why_not(probe)));
        if (report.summary.empty())
            report.summary = probe.is_certificate
                                 ? fmt::format("the certificate of {} is not trusted: {}", probe.host, why_not(probe))
                                 : fmt::format("{}:{} cannot be reached: {}", probe.host, probe.port, probe.problem);
    }
    if (failed == 0) {
        report.summary =
            fmt::format("{}: {} answer with right certificates, {}", what, counted(probes.size(), "name"), rtts.text());
        return report;
    }
    report.result = CheckResult::Fail;
    report.advice = certificate
                        ? "Whoever runs that issuer's TLS inspection exempts KUDO's domains from it; or the clock of "
                          "this host is wrong, or its CA bundle (ca-certificates) old."
                        : fmt::format(fmt::runtime(allow_advice), "TCP " + std::to_string(probes.front().port));
    return report;
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

CheckReport judge_media_udp(const MediaServers& servers, bool marks_now) {
    const std::size_t asked = count_addresses(servers);
    const auto udp = answered_by_udp(servers), tcp = answered_by_tcp(servers);
    CheckReport report{.result = CheckResult::Pass};
    Rtts rtts;
    std::vector<std::string> silent, refused;
    std::size_t turn = 0;
    for (const DatagramProbe& probe : servers.datagrams) {
        if (probe.response) {
            if (!probe.allocate) rtts.add(probe.rtt);
            turn += probe.allocate;
        } else if (probe.error != 0 && !probe.allocate) {
            refused.push_back(fmt::format("{}: {}", probe.to.text(), refusal_text(probe)));
        } else if (!udp.contains(probe.to) && !probe.allocate) {
            silent.push_back(probe.to.text());
        }
    }
    if (!refused.empty()) report.evidence.push_back("refused: " + shown(refused));
    if (!silent.empty()) report.evidence.push_back("no answer: " + shown(silent));
    if (!udp.empty()) {
        report.summary = fmt::format("{} of {} addresses answer over UDP 3478, {} of them as TURN servers, {}",
                                     udp.size(), asked, turn, rtts.text());
        if (udp.size() == asked) return report;
        report.result = CheckResult::Warn;
        report.summary = fmt::format("UDP 3478 passes ({} of {} addresses answer, {}); no server answered at the "
                                     "other {} tried",
                                     udp.size(), asked, rtts.text(), asked - udp.size());
        report.advice = std::string("Nothing, if calls work: ") + silence + ".";
        return report;
    }
    if (marks_now)
        report.evidence.push_back("kudo-agent is enabled and marks these packets: something on the way that drops "
                                  "marked ones would do this as well; enable --mark media=none shows whether it does");
    if (!tcp.empty()) {
        report.result = CheckResult::Fail;
        report.summary =
            fmt::format("UDP 3478 is blocked: {} of KUDO's {} by TCP 443, and none of the {} tried over UDP: media "
                        "falls back to TCP, with worse sound",
                        counted(tcp.size(), "address"), tcp.size() == 1 ? "answers" : "answer", asked);
        report.advice = fmt::format(fmt::runtime(allow_advice), "UDP 3478");
        return report;
    }
    if (!refused.empty()) {
        report.result = CheckResult::Fail;
        report.summary = fmt::format("UDP 3478 is refused: {}", refused.front());
        report.advice = fmt::format(fmt::runtime(allow_advice), "UDP 3478");
        return report;
    }
    report.result = CheckResult::Warn;
    report.summary = fmt::format("no server answered at the {} addresses tried over UDP 3478", asked);
    report.evidence.emplace_back(silence);
    return report;
}

CheckReport judge_media_tcp(const MediaServers& servers) {
    CheckReport report{.result = CheckResult::Pass};
    Rtts rtts;
    std::vector<std::string> refused, issuers;
    std::size_t plain = 0, tls = 0, connected = 0, secured = 0;
    for (const StreamProbe& probe : servers.streams) {
        if (probe.connected) rtts.add(*probe.connected);
        connected += probe.connected.has_value();
        plain += probe.response.has_value();
        if (probe.error != 0 && probe.error != ETIMEDOUT)
            refused.push_back(fmt::format("{}: {}", probe.to.text(), std::strerror(probe.error)));
    }
    for (const TlsProbe& probe : servers.tls) {
        secured += probe.connected;
        tls += probe.response.has_value();
        if (!probe.issuer.empty() && std::ranges::find(issuers, probe.issuer) == issuers.end())
            issuers.push_back(probe.issuer);
    }
    const std::size_t asked = count_addresses(servers);
    report.evidence.push_back(
        fmt::format("TURN over TCP 443: {} of {} answer, {} accept connections", plain, asked, connected));
    if (servers.tls.empty())
        report.evidence.emplace_back(has_tls_probe() ? "TURN over TLS 443 was not tried"
                                                     : "TURN over TLS 443: built without libcurl");
    else
        report.evidence.push_back(
            fmt::format("TURN over TLS 443: {} of {} answer, {} speak TLS", tls, servers.tls.size(), secured));
    for (const std::string& issuer : issuers)
        report.evidence.push_back("certificate issued by " + issuer + " (not verified: these addresses have no name)");
    if (!refused.empty()) report.evidence.push_back("refused: " + shown(refused));
    if (plain > 0 || tls > 0) {
        report.summary = fmt::format("media can fall back to TCP 443: {} over TCP, {} over TLS, {}",
                                     counted(plain, "answer"), counted(tls, "answer"), rtts.text());
        if (tls > 0 || servers.tls.empty()) return report;
        report.result = CheckResult::Warn;
        report.summary =
            fmt::format("TURN answers over TCP 443, but not over TLS 443: {}",
                        secured > 0 ? "what speaks TLS there is no TURN server" : servers.tls.front().problem);
        report.advice = "Whoever runs the network looks whether TLS to KUDO's ranges is inspected or cut off.";
        return report;
    }
    if (!answered_by_udp(servers).empty() || !refused.empty()) {
        report.result = CheckResult::Fail;
        report.summary = connected > 0
                             ? "something takes connections to TCP 443 of KUDO's servers, but it is no TURN server"
                             : "TCP 443 to KUDO's media ranges is blocked: where UDP is not possible, nothing is left";
        report.advice = fmt::format(fmt::runtime(allow_advice), "TCP 443");
        return report;
    }
    report.result = CheckResult::Warn;
    report.summary = fmt::format("no server answered at the {} addresses tried over TCP 443", asked);
    report.evidence.emplace_back(silence);
    return report;
}

CheckReport judge_nat(const MediaServers& servers, const Subject& subject) {
    std::map<std::string, std::vector<std::string>> mapped; // where this host was seen, by whom
    bool translated = false;
    for (const DatagramProbe& probe : servers.datagrams) {
        if (!probe.response || !probe.response->mapped_address || probe.allocate || probe.to.family != Family::IPv4)
            continue;
        const Address& seen = *probe.response->mapped_address;
        translated |=
            std::ranges::none_of(subject.addresses, [&](const InterfaceAddress& own) { return own.address == seen; });
        mapped[endpoint_text(seen, probe.response->mapped_port)].push_back(probe.to.text());
    }
    std::size_t servers_count = 0;
    CheckReport report{.result = CheckResult::Pass};
    for (const auto& [where, who] : mapped) {
        servers_count += who.size();
        report.evidence.push_back(fmt::format("seen as {} by {}", where, shown(who)));
    }
    if (servers_count < 2)
        return skipped("two STUN servers that answer are needed to tell what NAT does to destinations");
    if (mapped.size() == 1) {
        report.summary = fmt::format("{}: every server sees the same address and port",
                                     translated ? "NAT of the kind that calls like" : "no NAT");
        return report;
    }
    report.result = CheckResult::Warn;
    report.summary = fmt::format("NAT gives a port for each destination (symmetric): {} for one socket, so calls go "
                                 "through relays, and a change of the mapping cuts them",
                                 counted(mapped.size(), "mapped address"));
    report.advice =
        "Whoever runs the NAT switches it to endpoint-independent mapping (RFC 4787), also called full cone "
        "or persistent NAT, for this host; on Linux that is masquerade without fully-random.";
    return report;
}

CheckReport check_media_udp(Examination& examination) {
    if (const auto why = examination.subject.why_unreachable(); !why.empty()) return skipped(why);
    if (media_addresses(examination.subject).empty()) return skipped("no media range has a route");
    const MediaServers& servers = media_of(examination);
    if (!servers.problem.empty()) return skipped(servers.problem);
    return judge_media_udp(servers, examination.subject.marks_now);
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
    auto names = examination.subject.names();
    const auto of_region = static_cast<long>(names.size());
    std::ranges::copy(examination.subject.names(true), std::back_inserter(names));
    auto answers = look_up_names(names); // all at once
    examination.teams.assign(std::make_move_iterator(answers.begin() + of_region),
                             std::make_move_iterator(answers.end()));
    answers.resize(static_cast<std::size_t>(of_region));
    examination.names = std::move(answers);
    return judge_names(*examination.names, examination.subject);
}

CheckReport check_region(Examination& examination) {
    if (!has_tls_probe()) return skipped("this program was built without libcurl");
    if (const auto why = examination.subject.why_unreachable(); !why.empty()) return skipped(why);
    if (examination.names) examination.region = names_of_port(*examination.names, https);
    if (examination.names && examination.names->empty()) examination.region = nameless_servers(examination.subject);
    if (examination.region.empty()) return skipped("no name of the region has an address; see dns");
    probe_tls(examination.region);
    CheckReport report = judge_tls(examination.region, "TLS to TCP 443");
    // Networks with a proxy close the direct way.
    const bool direct = std::ranges::any_of(
        examination.region, [](const TlsProbe& probe) { return probe.connected || probe.is_certificate; });
    if (report.result == CheckResult::Fail && !direct && !examination.subject.proxies.proxies.empty())
        return {CheckResult::Skip,
                "the region's servers are not reached directly, but a proxy is set; see proxy",
                std::move(report.evidence),
                {},
                {}};
    return report;
}

CheckReport check_inspection(Examination& examination) {
    const auto trusted =
        std::ranges::find_if(examination.region, [](const TlsProbe& probe) { return probe.connected; });
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
    probe_tls(probes);
    return judge_tls(probes, "Teams' ports");
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
                probes.push_back({.host = name.name, .port = https, .to = address, .verify = false});
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
