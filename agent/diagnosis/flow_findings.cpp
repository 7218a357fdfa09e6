// SPDX-License-Identifier: MIT
#include <algorithm>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "agent/diagnosis/flow_findings.h"
#include "agent/diagnosis/loss_pattern.h"

namespace kudo {
namespace {

using namespace std::chrono_literals;
using WallTime = std::chrono::system_clock::time_point;

// Streams that reach this host, with numbers.
std::vector<const RtpStream*> incoming_streams(const FlowRecord& flow) {
    std::vector<const RtpStream*> streams;
    for (const RtpStream& stream : flow.streams)
        if (stream.direction == KUDO_INGRESS && stream.quality && stream.quality->expected() > 0)
            streams.push_back(&stream);
    return streams;
}

// What was dropped before RTP was counted is missing there, and is not the network's.
uint64_t dropped_before_counting(const Diagnosis& diagnosis, std::size_t flow) {
    const auto found = diagnosis.flows.find(flow);
    return found == diagnosis.flows.end() ? 0 : found->second.dropped_uncounted;
}

// Nothing is missing of the last minute, or the streams ended long ago.
bool is_over(const Diagnosis& diagnosis, const std::vector<const RtpStream*>& streams) {
    return std::ranges::all_of(streams, [&](const RtpStream* stream) {
        const RtpQuality& quality = *stream->quality;
        const auto silent = diagnosis.statistics.read_at - quality.last_packet;
        const auto missing_lately =
            std::ranges::any_of(quality.seconds, [](const RtpSecond& second) { return second.missing > 0; });
        return missing_of(quality, diagnosis.statistics.read_at) == 0 || silent > findings_are_recent ||
               (!missing_lately && quality.seconds.size() >= 60);
    });
}

// Missing where packets reach this host.
void add_network_loss(const Diagnosis& diagnosis, std::size_t index, std::vector<Finding>& findings) {
    const FlowRecord& flow = diagnosis.statistics.flows[index];
    const auto streams = incoming_streams(flow);
    auto [lost, expected] = incoming_loss(flow, diagnosis.statistics.read_at);
    const uint64_t own = std::min(lost, dropped_before_counting(diagnosis, index));
    lost -= own;
    if (lost == 0) return;
    Finding finding{.name = "network_loss",
                    .where = LossPlace::BeforeHost,
                    .layer = "network",
                    .confidence = Confidence::Likely, // a NIC whose ring is full loses it unseen as well
                    .advice =
                        "The network between KUDO and this host loses them: have the firewall and the line on the way "
                        "looked at, not this host.",
                    .command = "kudo-agent stats --flows",
                    .lost = lost,
                    .share = static_cast<double>(lost) / static_cast<double>(expected),
                    .past = is_over(diagnosis, streams)};
    finding.summary =
        fmt::format("Lost before this host: {} of incoming media never arrived.", part_text(lost, expected));
    for (const RtpStream* stream : streams) {
        const RtpQuality& quality = *stream->quality;
        const RtpLoss loss = loss_of(quality, diagnosis.statistics.read_at);
        if (loss.lost == 0 || finding.evidence.size() >= 4) continue;
        finding.evidence.push_back(fmt::format("{} stream {:#010x}: {} missing, worst 200 ms {}, worst 15 s {}",
                                               rtp_kind(*stream), stream->ssrc, part_text(loss.lost, loss.expected),
                                               percent_text(quality.worst_200ms.share()),
                                               percent_text(quality.worst_15s.share())));
    }
    if (dropped_here(diagnosis, index, KUDO_INGRESS) == 0 && diagnosis.drops_measured)
        finding.evidence.emplace_back("this host's kernel has dropped no incoming packet of the flow");

    const auto outages = joint_outages(streams);
    const auto like_flood_control = [](const JointOutage& outage) {
        return outage.duration >= 500ms && outage.duration <= 3500ms;
    };
    const auto limit = rate_limit_of(streams);
    const auto blocked = static_cast<std::size_t>(std::ranges::count_if(outages, like_flood_control));
    if (blocked >= 2 || limit) {
        finding.name = "flood_control";
        finding.confidence = Confidence::Likely;
        const double rate = blocked >= 2 ? outages.back().rate : limit->rate;
        const auto round = round_rate_near(rate);
        finding.advice =
            fmt::format("This is what flood control (\"UDP flood protection\") of a firewall does{}: raise its "
                        "threshold for KUDO's ranges, or exempt them.",
                        round ? fmt::format(" with a limit near {} packets/s", *round) : "");
        finding.command = "kudo-agent ranges show";
        finding.summary = fmt::format("Lost before this host, as by a firewall's flood control: {} of incoming media.",
                                      part_text(lost, expected));
        if (blocked >= 2) {
            std::vector<std::string> spans;
            for (const JointOutage& outage : outages)
                spans.push_back(fmt::format("{:.1f} s", std::chrono::duration<double>(outage.duration).count()));
            finding.evidence.insert(finding.evidence.begin(),
                                    fmt::format("all {} of the flow stopped together {} times, for {}, at {} packets/s",
                                                streams.size() == 1 ? "packets" : "streams", spans.size(),
                                                fmt::join(spans, ", "), static_cast<uint64_t>(rate)));
        }
        if (limit)
            finding.evidence.insert(finding.evidence.begin(),
                                    fmt::format("for {} s a steady {:.0f} packets/s get through, {} of all are missing",
                                                limit->seconds, limit->rate, percent_text(limit->missing)));
    } else if (finding.share < 0.001) {
        finding.advice = "So few are not heard or seen.";
        finding.command.clear();
    }
    findings.push_back(std::move(finding));
}

// The flow's NAT, session timers, round trips.
void add_probe_findings(const Diagnosis& diagnosis, std::size_t index, std::vector<Finding>& findings) {
    const FlowRecord& flow = diagnosis.statistics.flows[index];
    if (!flow.probe) return;
    const FlowProbe& probe = *flow.probe;
    const WallTime now = diagnosis.statistics.read_at;
    constexpr auto timer = 20s; // shorter silences are no session timer's
    if (probe.last_change) {
        const MappedChange& change = *probe.last_change;
        const bool after_silence = change.quiet_before >= timer;
        Finding finding{.name = after_silence ? "session_timer" : "nat_rebinding",
                        .where = LossPlace::BeforeHost,
                        .layer = "network",
                        .confidence = Confidence::Likely,
                        .past = is_past(diagnosis, change.time)};
        finding.evidence.push_back(fmt::format("from {}:{} to {}:{}, {} times in all", change.before.address,
                                               change.before.port, change.after.address, change.after.port,
                                               probe.mapped_changes));
        if (after_silence) {
            finding.summary =
                fmt::format("A NAT or firewall on the way closed the session of {} after {} s of silence.",
                            flow_text(flow), std::chrono::floor<std::chrono::seconds>(change.quiet_before).count());
            finding.advice =
                "Its session timer for UDP is too short: raise it for KUDO's ranges, to 300 s if it can be.";
        } else {
            finding.summary = fmt::format("A NAT on the way gave {} another address or port.", flow_text(flow));
            finding.advice =
                "Each change can interrupt the call: look for several lines or gateways that share the load.";
        }
        finding.command = "kudo-agent stats --flows";
        findings.push_back(std::move(finding));
    }
    // Outgoing goes on, nothing comes in any more.
    const bool asks = probe.last_request && now - *probe.last_request < 1min;
    if (asks && probe.responses > 0 && probe.last_inbound && *probe.last_request - *probe.last_inbound >= timer &&
        probe.unanswered > 0) {
        const auto silent = std::chrono::floor<std::chrono::seconds>(now - *probe.last_inbound).count();
        findings.push_back({.name = "inbound_ended",
                            .where = LossPlace::BeforeHost,
                            .layer = "network",
                            .confidence = Confidence::Likely,
                            .summary = fmt::format("Nothing comes in on {} for {} s, while this host goes on sending.",
                                                   flow_text(flow), silent),
                            .evidence = {fmt::format("{} STUN requests without an answer, {} answered before",
                                                     probe.unanswered, probe.responses)},
                            .advice =
                                "A session timer or a block on the way: have the firewall's session for this flow "
                                "looked at, and its timeout for UDP.",
                            .command = "kudo-agent stats --flows",
                            .lost = probe.unanswered,
                            .share = 1});
    }
}

// Round trips grow while the host's own line is full.
void add_full_line(const Diagnosis& diagnosis, std::size_t index, std::vector<Finding>& findings) {
    const FlowRecord& flow = diagnosis.statistics.flows[index];
    if (!flow.probe || !flow.probe->rtt) return;
    const RoundTrips& rtt = *flow.probe->rtt;
    // One or two slow ones are a busy host's or server's. Of a short call the largest is its 99 % already.
    if (rtt.slow < 3 || static_cast<double>(rtt.slow) < 0.05 * static_cast<double>(rtt.count)) return;
    Finding finding{.name = "full_line",
                    .where = LossPlace::BeforeHost,
                    .layer = "network",
                    .confidence = Confidence::Possible,
                    .advice =
                        "Something fills the line or the Wi-Fi: give kudo-agent the line's rate (enable --uplink RATE "
                        "--downlink RATE), or use a cable.",
                    .command = "kudo-agent stats --watch"};
    finding.evidence.push_back(
        fmt::format("{} of {} round trips took three times the best and 60 ms longer", rtt.slow, rtt.count));
    finding.summary =
        fmt::format("Round trips of {} took {:.0f} ms at times, {:.0f} ms at best.", flow_text(flow), rtt.p99, rtt.min);
    for (const QueueNumbers& queue : diagnosis.statistics.queues)
        if (queue.interface == flow.interface && queue.direction == "egress")
            for (const QueueClass& part : queue.classes)
                if (part.drops.value_or(0) > 0 || part.backlog_packets.value_or(0) > 0) {
                    finding.name = "full_uplink";
                    finding.where = LossPlace::Host;
                    finding.layer = "queue";
                    finding.confidence = Confidence::Likely;
                    finding.evidence.push_back(fmt::format(
                        "the queue of {} ({}): {} packets of {} dropped, {} waiting", queue.interface, queue.kind,
                        part.drops.value_or(0), fmt::join(part.carries, ", "), part.backlog_packets.value_or(0)));
                }
    finding.past = flow.probe->last_response && is_past(diagnosis, *flow.probe->last_response);
    findings.push_back(std::move(finding));
}

void add_tcp(const Diagnosis& diagnosis, std::size_t index, std::vector<Finding>& findings) {
    const auto found = diagnosis.flows.find(index);
    if (found == diagnosis.flows.end() || !found->second.tcp) return;
    const FlowRecord& flow = diagnosis.statistics.flows[index];
    const TcpState& tcp = *found->second.tcp;
    // Both since the connection began; without them there is nothing to set retransmissions against.
    const double share = tcp.bytes_sent && tcp.bytes_retransmitted && *tcp.bytes_sent > 0
                             ? static_cast<double>(*tcp.bytes_retransmitted) / static_cast<double>(*tcp.bytes_sent)
                             : 0;
    const uint64_t here = dropped_here(diagnosis, index, KUDO_EGRESS) + dropped_here(diagnosis, index, KUDO_INGRESS);
    if (share >= 0.01 && tcp.retransmits >= 10 && here < tcp.retransmits / 2)
        findings.push_back({.name = "tcp_retransmissions",
                            .where = LossPlace::BeforeHost,
                            .layer = "network",
                            .confidence = Confidence::Likely,
                            .summary = fmt::format("Lost in the network: {} of what {} has sent had to be sent again.",
                                                   percent_text(share), flow_text(flow)),
                            .evidence = {fmt::format("round trip {} ms, congestion window {} segments",
                                                     std::chrono::round<std::chrono::milliseconds>(tcp.rtt).count(),
                                                     tcp.congestion_window)},
                            .advice =
                                "The network loses this connection's packets: have the line and the firewall on the "
                                "way looked at.",
                            .command = "ss -tin dst " + flow.remote.text(),
                            .lost = tcp.retransmits,
                            .share = std::min(1.0, share),
                            .past = is_past(diagnosis, flow.last_seen)});
    if (!found->second.stall.empty())
        findings.push_back({.name = "tcp_stalled",
                            .where = LossPlace::Unknown,
                            .layer = "network",
                            .confidence = Confidence::Likely,
                            .summary = fmt::format("{} stands still: {}.", flow_text(flow), found->second.stall),
                            .evidence = {},
                            .advice = "See whether the host drops its packets (stats --drops); else the network does.",
                            .command = "ss -tino dst " + flow.remote.text()});
}

void add_tunnel(const Diagnosis& diagnosis, std::size_t index, std::vector<Finding>& findings) {
    const auto found = diagnosis.flows.find(index);
    if (found == diagnosis.flows.end() || !found->second.by_tunnel) return;
    const FlowRecord& flow = diagnosis.statistics.flows[index];
    Finding finding{.name = "tunnel",
                    .where = LossPlace::None,
                    .layer = "route",
                    .confidence = Confidence::Certain,
                    .summary = fmt::format("{} goes through the tunnel {}.", flow_text(flow), flow.interface),
                    .advice =
                        "A VPN adds delay and a second place where packets are lost: exempt KUDO's ranges from it "
                        "(split tunnel).",
                    .command = "ip route get " + flow.remote.text(),
                    .past = is_past(diagnosis, flow.last_seen)};
    if (flow.probe && flow.probe->rtt)
        finding.evidence.push_back(fmt::format("round trip {:.0f} ms", flow.probe->rtt->p50));
    findings.push_back(std::move(finding));
}

} // namespace

uint64_t missing_of(const RtpQuality& quality, std::chrono::system_clock::time_point now) {
    uint64_t lately = 0;
    for (const RtpSecond& second : quality.seconds)
        if (now - second.begin <= 3s) lately += second.missing; // two whole seconds and the current one
    return quality.lost + quality.pending - std::min(lately, quality.pending);
}

RtpLoss loss_of(const RtpQuality& quality, std::chrono::system_clock::time_point now) {
    return {.lost = missing_of(quality, now), .expected = quality.expected()};
}

RtpLoss incoming_loss(const FlowRecord& flow, std::chrono::system_clock::time_point now) {
    RtpLoss sum;
    for (const RtpStream* stream : incoming_streams(flow)) {
        const RtpLoss loss = loss_of(*stream->quality, now);
        sum.lost += loss.lost;
        sum.expected += loss.expected;
    }
    return sum;
}

std::vector<Finding> flow_findings(const Diagnosis& diagnosis, std::size_t flow) {
    std::vector<Finding> findings;
    add_network_loss(diagnosis, flow, findings);
    add_probe_findings(diagnosis, flow, findings);
    add_full_line(diagnosis, flow, findings);
    add_tcp(diagnosis, flow, findings);
    add_tunnel(diagnosis, flow, findings);
    return findings;
}

} // namespace kudo
