// SPDX-License-Identifier: MIT
#include "agent/doctor/reach_judgement.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <map>
#include <optional>
#include <set>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "maps/base/text.h"

namespace kudo {
namespace {

using std::chrono::microseconds;

constexpr std::size_t max_texts_shown = 6;

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

std::string why_not(const TlsProbe& probe) {
    return probe.issuer.empty() ? probe.problem
                                : fmt::format("{}; its certificate is issued by {}", probe.problem, probe.issuer);
}

bool is_own(const Address& address, const Subject& subject) {
    return std::ranges::find(subject.addresses, address, &InterfaceAddress::address) != subject.addresses.end();
}

// What the output hook drops is EPERM at once; what it rejects, this host's own ICMP. It says host unreachable also of
// a next hop that does not answer.
bool is_refused_here(const DatagramProbe& probe, const Subject& subject) {
    if (!probe.complainer) return probe.error == EPERM;
    return probe.error != EHOSTUNREACH && is_own(*probe.complainer, subject);
}

// RFC 8656 section 7.2: without credentials it refuses, unless it needs none.
bool is_turn(const StunResponse& response) {
    constexpr uint16_t allocate_success = 0x0103, allocate_error = 0x0113;
    return response.type == allocate_success || (response.type == allocate_error && response.error == 401U);
}

} // namespace

std::string rtt_text(microseconds time) {
    return fmt::format("{:.1f} ms", static_cast<double>(time.count()) / 1000);
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
        const bool named = probes.front().verify == Verify::Name;
        report.summary =
            fmt::format("{}: {} {}, {}", what, counted(probes.size(), named ? "name" : "server"),
                        named ? "answer with right certificates"
                              : "answer with certificates of issuers that this host trusts; whose they are "
                                "was not checked, as the map has no names",
                        rtts.text());
        return report;
    }
    report.result = CheckResult::Fail;
    report.advice = std::ranges::any_of(probes, &TlsProbe::is_local)
                        ? "Install this host's CA bundle, which cannot be read: apt-get install ca-certificates"
                    : certificate
                        ? "Whoever runs that issuer's TLS inspection exempts KUDO's domains from it; or the clock of "
                          "this host is wrong, or its CA bundle (ca-certificates) old."
                        : fmt::format(fmt::runtime(allow_advice), "TCP " + std::to_string(probes.front().port));
    return report;
}

// Networks with a proxy close the direct way: nothing is known then of the names that programs ask the proxy for.
CheckReport unless_proxied(CheckReport report, const std::vector<TlsProbe>& probes, const Subject& subject) {
    if (report.result != CheckResult::Fail) return report;
    for (const TlsProbe& probe : probes)
        if (probe.is_certificate || probe.is_local || (!probe.connected && !subject.proxies.may_proxy(probe.host)))
            return report;
    return {CheckResult::Skip,
            "not all servers are reached directly, but a proxy or its script is set for them; see proxy",
            std::move(report.evidence),
            {},
            {}};
}

CheckReport judge_media_udp(const MediaServers& servers, const Subject& subject) {
    const std::size_t asked = count_addresses(servers);
    const auto udp = answered_by_udp(servers), tcp = answered_by_tcp(servers);
    CheckReport report{.result = CheckResult::Pass};
    Rtts rtts;
    std::vector<std::string> silent, refused, reached;
    std::size_t turn = 0;
    bool here = false;
    for (const DatagramProbe& probe : servers.datagrams) {
        if (probe.response) {
            if (!probe.allocate) rtts.add(probe.rtt);
            turn += probe.allocate && is_turn(*probe.response);
        } else if (probe.allocate) {
            continue;
        } else if (probe.error == ECONNREFUSED && probe.complainer == probe.to) {
            reached.push_back(probe.to.text()); // the packet has arrived there
        } else if (probe.error != 0) {
            here |= is_refused_here(probe, subject);
            refused.push_back(fmt::format("{}: {}", probe.to.text(), refusal_text(probe)));
        } else if (!udp.contains(probe.to)) {
            silent.push_back(probe.to.text());
        }
    }
    if (!refused.empty()) report.evidence.push_back("refused: " + shown(refused));
    if (!reached.empty()) report.evidence.push_back("reached, but no server is there: " + shown(reached));
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
    if (subject.marks_now)
        report.evidence.push_back("kudo-agent is enabled and marks these packets: something on the way that drops "
                                  "marked ones would do this as well; enable --mark media=none shows whether it does");
    if (here) {
        report.result = CheckResult::Fail;
        report.summary = "UDP 3478 is refused by this host's own firewall; see firewall_out";
        report.advice = "The fix of firewall_out, or whoever runs this host's firewall.";
        return report;
    }
    if (!reached.empty() && refused.empty()) {
        report.result = CheckResult::Warn;
        report.summary =
            fmt::format("UDP 3478 passes as far as {}, but no server is there", counted(reached.size(), "address"));
        report.evidence.emplace_back(silence);
        return report;
    }
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
    bool by_network = false;
    for (const StreamProbe& probe : servers.streams) {
        if (probe.connected) rtts.add(*probe.connected);
        connected += probe.connected.has_value();
        plain += probe.response.has_value();
        if (probe.error == 0 || probe.error == ETIMEDOUT) continue;
        by_network |= probe.error != ECONNREFUSED; // a reset may well be the address's own
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
    if (!answered_by_udp(servers).empty() || by_network) {
        report.result = CheckResult::Fail;
        report.summary = connected > 0
                             ? "something takes connections to TCP 443 of KUDO's servers, but it is no TURN server"
                             : "TCP 443 to KUDO's media ranges is blocked: where UDP is not possible, nothing is left";
        report.advice = fmt::format(fmt::runtime(allow_advice), "TCP 443");
        return report;
    }
    report.result = CheckResult::Warn;
    report.summary =
        refused.empty()
            ? fmt::format("no server answered at the {} addresses tried over TCP 443", asked)
            : fmt::format("connections to TCP 443 are refused, and whether by a server or on the way cannot be "
                          "told: {}",
                          refused.front());
    report.evidence.emplace_back(silence);
    return report;
}

CheckReport judge_nat(const MediaServers& servers, const Subject& subject) {
    std::set<Address> asked;
    std::map<std::string, std::vector<std::string>> mapped; // where this host was seen, by whom
    bool translated = false;
    for (const DatagramProbe& probe : servers.datagrams) {
        if (!probe.response || !probe.response->mapped_address || probe.allocate || probe.to.family != Family::IPv4)
            continue;
        if (!asked.insert(probe.to).second) continue;
        const Address& seen = *probe.response->mapped_address;
        translated |= !is_own(seen, subject);
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

} // namespace kudo
