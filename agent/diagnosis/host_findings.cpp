// SPDX-License-Identifier: MIT
#include <algorithm>
#include <map>
#include <set>
#include <span>
#include <tuple>

#include <fmt/format.h>
#include <netinet/in.h>

#include "agent/diagnosis/host_findings.h"
#include "maps/base/abi_names.h"
#include "maps/base/text.h"

namespace kudo {
namespace {

// The same cause: everything but the flow.
struct Cause {
    DropLayer layer;
    std::string reason, owner; // its place where it has no reason
    bool past, solicited;
    auto operator<=>(const Cause&) const = default;
};

struct Group {
    const DiagnosedDrop* worst = nullptr;
    Directions lost{};
    uint64_t whole = 0; // packets of the same flows and directions
    std::vector<std::string> flows;
    std::size_t flow_count = 0;
    std::chrono::system_clock::time_point last_seen{};
    std::set<std::pair<std::size_t, kudo_direction>> seen;
};

std::string direction_text(const Directions& lost) {
    if (lost[KUDO_EGRESS].packets == 0) return "incoming";
    if (lost[KUDO_INGRESS].packets == 0) return "outgoing";
    return "incoming and outgoing";
}

// "in the firewall": where in this host.
std::string_view layer_text(DropLayer layer) {
    switch (layer) {
    case DropLayer::Network:
        return "packets that arrived damaged or incomplete";
    case DropLayer::Xdp:
        return "another XDP program";
    case DropLayer::Tc:
        return "another tc program or filter";
    case DropLayer::Firewall:
        return "this host's firewall";
    case DropLayer::Conntrack:
        return "this host's connection tracking";
    case DropLayer::Route:
        return "this host's routing";
    case DropLayer::Neighbour:
        return "neighbour discovery (ARP) on this host";
    case DropLayer::Queue:
        return "a full queue of this host";
    case DropLayer::Socket:
        return "the receiving socket";
    case DropLayer::Policy:
        return "a security policy of this host";
    case DropLayer::Other:
        break;
    }
    return "this host's kernel";
}

struct Kind {
    const char* name;
    LossPlace where = LossPlace::Host;
    std::string who; // "The application … does not read fast enough: its receive buffer"
};

Kind kind_of(const DiagnosedDrop& drop) {
    const std::string& reason = drop.drop.reason;
    const bool buffer = reason == "SOCKET_RCVBUFF" || reason == "PROTO_MEM" || reason == "SOCKET_BACKLOG";
    switch (drop.drop.layer) {
    case DropLayer::Socket:
        if (buffer)
            return {drop.owner.receive_buffer != 0 && drop.owner.receive_buffer < usual_receive_buffer
                        ? "small_socket_buffer"
                        : "socket_buffer",
                    LossPlace::Application,
                    "the full receive buffer of " + (drop.owner.text.empty() ? "an application" : drop.owner.text)};
        if (reason == "NO_SOCKET" && drop.drop.counters[KUDO_EGRESS].packets > 0)
            return {"route", LossPlace::Host, "because a route leads KUDO's address to this host itself"};
        if (reason == "NO_SOCKET")
            return {"no_socket", LossPlace::Application, "because no application has the port open"};
        return {"socket", LossPlace::Application, std::string(layer_text(drop.drop.layer))};
    case DropLayer::Firewall: {
        const bool policy =
            drop.owner.certain && !drop.owner.rules.empty() && drop.owner.rules.front().kind == DropPoint::Kind::Policy;
        return {
            policy ? "firewall_policy" : "firewall_rule", LossPlace::Host,
            fmt::format("{}{}", layer_text(drop.drop.layer), drop.owner.certain ? " (" + drop.owner.text + ")" : "")};
    }
    case DropLayer::Conntrack:
        return {drop.owner.certain ? "conntrack_full" : "conntrack", LossPlace::Host,
                std::string(layer_text(drop.drop.layer)) + (drop.owner.certain ? ", whose table is full" : "")};
    case DropLayer::Queue:
        return {"queue_full", LossPlace::Host,
                drop.owner.text.empty() ? std::string(layer_text(drop.drop.layer))
                                        : fmt::format("a full queue of this host ({})", drop.owner.text)};
    case DropLayer::Route:
        if (reason == "IP_RPFILTER") return {"rp_filter", LossPlace::Host, "this host's reverse path filter"};
        if (reason == "PKT_TOO_BIG")
            return {"mtu", LossPlace::Host, "this host's routing: larger than the next link takes (MTU)"};
        return {"route", LossPlace::Host, std::string(layer_text(drop.drop.layer))};
    case DropLayer::Network:
        if (reason == "FRAG_REASM_TIMEOUT" || reason == "FRAG_TOO_FAR")
            return {"fragments_lost", LossPlace::BeforeHost, "the network, which lost fragments of large packets"};
        if (reason.ends_with("_CSUM") && drop.drop.counters[KUDO_INGRESS].packets > 0)
            return {"damaged", LossPlace::BeforeHost, "the network: their checksums are wrong"};
        return {"invalid", LossPlace::Host, "this host's kernel, which took them for invalid"};
    case DropLayer::Xdp:
    case DropLayer::Tc:
        return {"foreign_program", LossPlace::Host,
                fmt::format("{}{}", layer_text(drop.drop.layer),
                            drop.owner.text.empty() ? "" : " (" + drop.owner.text + ")")};
    case DropLayer::Neighbour:
        return {"neighbour", LossPlace::Host,
                drop.owner.text.empty() ? std::string(layer_text(drop.drop.layer))
                                        : "this host, since its next hop does not answer (" + drop.owner.text + ")"};
    case DropLayer::Policy:
        return {"security_policy", LossPlace::Host, std::string(layer_text(drop.drop.layer))};
    case DropLayer::Other:
        break;
    }
    return {"kernel", LossPlace::Host, std::string(layer_text(drop.drop.layer))};
}

bool is_certain(const DiagnosedDrop& drop) {
    return drop.drop.namespace_known && drop.drop.place != "unknown";
}

Finding finding_of(const Group& group, const Cause& cause) {
    const DiagnosedDrop& drop = *group.worst;
    const Kind kind = kind_of(drop);
    const uint64_t lost = group.lost[KUDO_INGRESS].packets + group.lost[KUDO_EGRESS].packets;
    Finding finding{
        .name = kind.name,
        .where = kind.where,
        .layer = std::string(layer_name(drop.drop.layer)),
        .confidence = is_certain(drop) ? Confidence::Certain : Confidence::Likely,
        .advice = drop.advice,
        .command = drop.command,
        .lost = lost,
        .share = group.whole == 0 ? 1 : std::min(1.0, static_cast<double>(lost) / static_cast<double>(group.whole)),
        .past = cause.past};
    const std::string packets = group.whole >= lost ? part_text(lost, group.whole) : fmt::format("{} packets", lost);
    const bool reached = kind.where == LossPlace::Application;
    finding.summary =
        fmt::format("{}: {} {} dropped {}{}.",
                    kind.where == LossPlace::BeforeHost ? "Lost in the network"
                    : reached                           ? "Lost at the application on this host"
                                                        : "Lost in this host",
                    packets, direction_text(group.lost), drop.drop.reason == "NO_SOCKET" ? "" : "by ", kind.who);
    if (kind.where == LossPlace::BeforeHost)
        finding.summary = fmt::format("Lost before this host: {} by {}.", packets, kind.who);
    if (!cause.solicited) {
        finding.name = "unsolicited";
        finding.where = LossPlace::None;
        finding.share = 0;
        finding.summary =
            fmt::format("Not of a call: {} {} dropped{} {}, on flows on which this host has sent nothing.", packets,
                        direction_text(group.lost), drop.drop.reason == "NO_SOCKET" ? "" : " by", kind.who);
        finding.advice =
            "They may come from anybody who claims KUDO's address: let them be dropped, unless a call has no sound.";
    }
    finding.evidence.push_back(
        fmt::format("the kernel says {} at {}{}", drop.drop.reason.empty() ? "nothing more" : drop.drop.reason,
                    drop.drop.place, drop.drop.namespace_known ? "" : ", perhaps in another network namespace"));
    if (!drop.owner.text.empty() && finding.summary.find(drop.owner.text) == std::string::npos)
        finding.evidence.push_back(drop.owner.text);
    for (const DropPoint& point : drop.owner.rules)
        if (!drop.owner.certain) finding.evidence.push_back("could be " + name_of(point));
    for (const std::string& flow : group.flows)
        finding.evidence.push_back(flow);
    if (group.flow_count > group.flows.size())
        finding.evidence.push_back(fmt::format("and {}", counted(group.flow_count - group.flows.size(), "more flow")));
    return finding;
}

// What kudo-agent itself drops in mode enforce. A flow that has a service, but no rule.
void add_policy(const Diagnosis& diagnosis, std::size_t only, std::vector<Finding>& findings) {
    uint64_t dropped = 0;
    std::vector<std::string> names;
    bool past = true;
    const std::size_t begin = only == all_flows ? 0 : only;
    const std::size_t end = only == all_flows ? diagnosis.statistics.flows.size() : only + 1;
    for (std::size_t i = begin; i < end; ++i) {
        const FlowRecord& flow = diagnosis.statistics.flows[i];
        if (flow.verdict != KUDO_DROP) continue;
        const uint64_t packets = flow.counters[KUDO_INGRESS].packets + flow.counters[KUDO_EGRESS].packets;
        if (packets == 0) continue;
        dropped += packets;
        past &= is_past(diagnosis, flow.last_seen);
        if (names.size() < 3) names.push_back(fmt::format("{}: {}", flow_text(flow), reason_text(flow.reason)));
    }
    if (dropped == 0) return;
    findings.push_back(
        {.name = "policy",
         .where = LossPlace::Policy,
         .layer = "policy",
         .confidence = Confidence::Certain,
         .summary = fmt::format("Dropped by kudo-agent's own policy (mode enforce): {} packets.", dropped),
         .evidence = names,
         .advice = "kudo-agent explain tells which line of the range map decides.",
         .command = "kudo-agent stats --flows",
         .lost = dropped,
         .share = 1,
         .past = past});
}

} // namespace

bool is_uncounted(const Drop& drop, kudo_direction direction) {
    switch (drop.layer) {
    case DropLayer::Xdp:
        return direction == KUDO_INGRESS;
    case DropLayer::Queue: // incoming: a CPU's backlog, before tc
        return direction == KUDO_INGRESS && drop.reason == "CPU_BACKLOG";
    case DropLayer::Tc:
        return false;
    default:
        return direction == KUDO_EGRESS;
    }
}

bool is_solicited(const Diagnosis& diagnosis, const DiagnosedDrop& drop) {
    if (drop.drop.counters[KUDO_EGRESS].packets > 0) return true;
    return drop.flow && diagnosis.statistics.flows[*drop.flow].counters[KUDO_EGRESS].packets > 0;
}

double share_of_flow(const Diagnosis& diagnosis, const DiagnosedDrop& drop, kudo_direction direction) {
    if (!is_solicited(diagnosis, drop)) return 0;
    const uint64_t lost = drop.drop.counters[direction].packets;
    uint64_t whole = drop.flow ? diagnosis.statistics.flows[*drop.flow].counters[direction].packets : 0;
    if (!drop.flow || is_uncounted(drop.drop, direction)) whole += lost;
    return whole == 0 ? 1 : std::min(1.0, static_cast<double>(lost) / static_cast<double>(whole));
}

std::vector<Finding> host_findings(const Diagnosis& diagnosis, std::span<const DiagnosedDrop* const> drops,
                                   std::size_t flow) {
    const Statistics& statistics = diagnosis.statistics;
    std::map<Cause, Group> groups;
    for (const DiagnosedDrop* const each : drops) {
        const DiagnosedDrop& drop = *each;
        if (!drop.drop.is_loss || drop.drop.is_ours) continue;
        // Another network namespace's, for all that is known.
        if (!drop.drop.namespace_known && !drop.flow) continue;
        const bool past = is_past(diagnosis, drop.drop.last_seen);
        Group& group = groups[{.layer = drop.drop.layer,
                               .reason = drop.drop.reason.empty() ? drop.drop.place : drop.drop.reason,
                               .owner = drop.owner.text,
                               .past = past,
                               .solicited = is_solicited(diagnosis, drop)}];
        const auto packets = [](const Directions& both) {
            return both[KUDO_INGRESS].packets + both[KUDO_EGRESS].packets;
        };
        if (!group.worst || packets(drop.drop.counters) > packets(group.worst->drop.counters)) group.worst = &drop;
        const kudo_direction direction = direction_of(drop.drop);
        const uint64_t lost = drop.drop.counters[direction].packets;
        group.lost[direction].packets += lost;
        const FlowRecord* const record = drop.flow ? &statistics.flows[*drop.flow] : nullptr;
        // Of a flow each direction counts once, also if it has several rows of this cause.
        if (record && group.seen.insert({*drop.flow, direction}).second)
            group.whole += record->counters[direction].packets;
        if (!record || is_uncounted(drop.drop, direction)) group.whole += lost;
        ++group.flow_count;
        group.last_seen = std::max(group.last_seen, drop.drop.last_seen);
        if (group.flows.size() < 3 && drop.drop.flow)
            group.flows.push_back(fmt::format("{} {}: {}", lost, direction == KUDO_INGRESS ? "incoming" : "outgoing",
                                              flow_text(*drop.drop.flow, direction)));
    }
    std::vector<Finding> findings;
    for (const auto& [cause, group] : groups) {
        findings.push_back(finding_of(group, cause));
        findings.back().lately = statistics.read_at - group.last_seen <= recent_minute;
    }
    add_policy(diagnosis, flow, findings);
    return findings;
}

} // namespace kudo
