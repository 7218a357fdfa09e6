// SPDX-License-Identifier: MIT
#include <algorithm>
#include <set>

#include <fmt/format.h>
#include <netinet/in.h>

#include "agent/diagnosis/network_findings.h"

namespace kudo {
namespace {

using namespace std::chrono_literals;
using Moment = std::chrono::system_clock::time_point;

constexpr uint16_t stun_port = 3478, tls_port = 443;

// STUN that nobody answers, where this host has sent it.
void add_udp_blocked(const Diagnosis& diagnosis, std::vector<Finding>& findings) {
    uint64_t unanswered = 0;
    std::vector<std::string> names;
    Moment last{};
    bool any_answer = false, uses_tcp = false;
    for (std::size_t i = 0; i < diagnosis.statistics.flows.size(); ++i) {
        const FlowRecord& flow = diagnosis.statistics.flows[i];
        if (flow.class_ == KUDO_CLASS_FALLBACK && flow.remote_port == tls_port &&
            flow.counters[KUDO_INGRESS].bytes > 100'000 && !is_past(diagnosis, flow.last_seen))
            uses_tcp = true;
        if (flow.protocol != IPPROTO_UDP || flow.remote_port != stun_port || !flow.probe) continue;
        const FlowProbe& probe = *flow.probe;
        any_answer |= probe.responses > 0 && probe.last_response && !is_past(diagnosis, *probe.last_response);
        const uint64_t here = dropped_here(diagnosis, i, KUDO_EGRESS) + dropped_here(diagnosis, i, KUDO_INGRESS);
        if (probe.responses > 0 || probe.unanswered == 0 || here > 0 || flow.counters[KUDO_INGRESS].packets > 0)
            continue;
        unanswered += probe.unanswered + probe.retransmitted;
        if (probe.last_request) last = std::max(last, *probe.last_request);
        if (names.size() < 3)
            names.push_back(fmt::format("{}: {} STUN requests (checks of the connection), no answer", flow_text(flow),
                                        probe.requests));
    }
    // One server that does not answer while others do is no block of the port.
    if (unanswered < 3 || any_answer) return;
    Finding finding{.name = uses_tcp ? "udp_blocked" : "udp_unanswered",
                    .where = LossPlace::BeforeHost,
                    .layer = "network",
                    .confidence = uses_tcp ? Confidence::Likely : Confidence::Possible,
                    .evidence = names,
                    .advice = "Have UDP 3478 to KUDO's ranges, and the answers, allowed by the firewall on the way.",
                    .command = "kudo-agent ranges show",
                    .lost = unanswered,
                    .share = 1,
                    .past = is_past(diagnosis, last)};
    finding.summary =
        uses_tcp ? "UDP 3478 is blocked between this host and KUDO: nothing answers, and media goes over TCP 443."
                 : "Nothing answers on UDP 3478: it is blocked on the way, or no server is there.";
    if (uses_tcp) finding.evidence.emplace_back("media over TCP 443 works, with more delay");
    if (diagnosis.drops_measured) finding.evidence.emplace_back("this host's kernel has dropped none of these packets");
    findings.push_back(std::move(finding));
}

// Who answers TCP is much nearer than who answers STUN at the same service.
void add_inspected_tls(const Diagnosis& diagnosis, std::vector<Finding>& findings) {
    constexpr std::size_t enough = 1000;
    std::vector<const FlowRecord*> probed;
    for (const FlowRecord& flow : diagnosis.statistics.flows)
        if (flow.protocol == IPPROTO_UDP && flow.probe && flow.probe->rtt && probed.size() < enough)
            probed.push_back(&flow);
    for (const auto& [index, detail] : diagnosis.flows) {
        const FlowRecord& tcp = diagnosis.statistics.flows[index];
        if (!detail.tcp || !detail.tcp->min_rtt || tcp.remote_port != tls_port || tcp.class_ == KUDO_CLASS_NONE)
            continue;
        const double near = std::chrono::duration<double, std::milli>(*detail.tcp->min_rtt).count();
        for (const FlowRecord* const udp : probed) {
            if (udp->range != tcp.range) continue;
            const double far = udp->probe->rtt->min;
            if (far < 8 || near > far / 3) continue;
            findings.push_back(
                {.name = "tls_inspected",
                 .where = LossPlace::None,
                 .layer = "network",
                 .confidence = Confidence::Likely,
                 .summary = fmt::format("Something on the way answers TCP 443 in place of {}.", tcp.remote.text()),
                 .evidence = {fmt::format("TCP round trip {:.1f} ms, STUN round trip {:.1f} ms, both to {}", near, far,
                                          tcp.range.text())},
                 .advice = "A proxy or TLS inspection is in the path: exempt KUDO's ranges and domains from it.",
                 .command = "kudo-agent ranges show",
                 .past = is_past(diagnosis, tcp.last_seen)});
            return;
        }
    }
}

// Connections to 443 that end after the first bytes, again and again, while none goes on.
void add_reset_tls(const Diagnosis& diagnosis, std::vector<Finding>& findings) {
    std::size_t short_ones = 0;
    Moment last{};
    std::string example;
    for (const FlowRecord& flow : diagnosis.statistics.flows) {
        if (flow.protocol != IPPROTO_TCP || flow.remote_port != tls_port || flow.class_ == KUDO_CLASS_NONE) continue;
        const kudo_counter &in = flow.counters[KUDO_INGRESS], &out = flow.counters[KUDO_EGRESS];
        if (in.packets > 12 || in.bytes > 2000) return; // one that works
        // The handshake and a ClientHello were answered by nearly nothing, and it is over.
        const bool ended = diagnosis.statistics.read_at - flow.last_seen > 2s && flow.last_seen - flow.first_seen < 5s;
        if (!ended || in.packets < 1 || out.bytes < 300) continue;
        ++short_ones;
        last = std::max(last, flow.last_seen);
        example = flow_text(flow);
    }
    if (short_ones < 3) return;
    findings.push_back(
        {.name = "tls_reset",
         .where = LossPlace::BeforeHost,
         .layer = "network",
         .confidence = Confidence::Likely,
         .summary = fmt::format(
             "TCP 443 to KUDO is cut on the way: {} connections ended right after this host's first message.",
             short_ones),
         .evidence = {"the last one: " + example},
         .advice = "A firewall on the way refuses what it does not know inside TLS: exempt KUDO's ranges and "
                   "domains from inspection.",
         .command = "kudo-agent ranges show",
         .lost = short_ones,
         .share = 1,
         .past = is_past(diagnosis, last)});
}

void add_stale_map(const Diagnosis& diagnosis, std::vector<Finding>& findings) {
    const Drift& stale = diagnosis.statistics.stale;
    if (stale.empty()) return;
    Finding finding{.name = "map_stale",
                    .where = LossPlace::Unknown,
                    .layer = "policy",
                    .confidence = Confidence::Possible,
                    .summary = "The range map may be stale: servers answer this host at addresses that it lacks.",
                    .advice = "What goes there is KUDO's here only where a name tells: get the current map.",
                    .command = "kudo-agent status"};
    for (const StrayRemote& stray : stale.strays)
        if (finding.evidence.size() < 3) finding.evidence.push_back(stray.remote.text() + " answers STUN");
    for (const NamedAddress& named : stale.moved_names)
        if (finding.evidence.size() < 3) finding.evidence.push_back(named.name + " is now at " + named.address.text());
    findings.push_back(std::move(finding));
}

} // namespace

std::vector<Finding> network_findings(const Diagnosis& diagnosis) {
    std::vector<Finding> findings;
    add_udp_blocked(diagnosis, findings);
    add_inspected_tls(diagnosis, findings);
    add_reset_tls(diagnosis, findings);
    add_stale_map(diagnosis, findings);
    return findings;
}

} // namespace kudo
