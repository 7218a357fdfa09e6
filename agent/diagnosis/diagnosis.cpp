// SPDX-License-Identifier: MIT
#include <netinet/in.h>

#include <algorithm>
#include <array>
#include <map>
#include <set>
#include <tuple>

#include <fmt/format.h>

#include "agent/diagnosis/diagnosis.h"
#include "agent/diagnosis/drop_owner.h"
#include "agent/diagnosis/host_findings.h"
#include "agent/diagnosis/snapshots.h"

namespace kudo {
namespace {

// What was on its way as an application closed its socket is nobody's loss. When it was closed is not known: this host
// has used the flow, and the packets without a socket have come within this time.
constexpr std::chrono::seconds closing_time{3};

bool is_after_closing(const Drop& drop, const FlowRecord& flow) {
    // TCP gives no reason where the socket has just gone (6.18).
    const bool no_socket =
        drop.reason == "NO_SOCKET" || (drop.reason == "NOT_SPECIFIED" &&
                                       (drop.place.starts_with("tcp_v4_rcv") || drop.place.starts_with("tcp_v6_rcv")));
    return no_socket && flow.counters[KUDO_EGRESS].packets > 0 && drop.last_seen - drop.first_seen <= closing_time;
}

using FlowIdentity = std::tuple<uint8_t, Address, uint16_t, Address, uint16_t>; // protocol, local, remote

// The counted flow of each drop. Of several interfaces' flows of one five-tuple the one of the drop's own, if that is
// among them: a drop's interface may also be one where it has not been counted.
void link_flows(Diagnosis& diagnosis) {
    if (diagnosis.drops.empty()) return;
    std::multimap<FlowIdentity, std::size_t> places;
    for (std::size_t i = 0; i < diagnosis.statistics.flows.size(); ++i) {
        const FlowRecord& flow = diagnosis.statistics.flows[i];
        places.emplace(FlowIdentity{flow.protocol, flow.local, flow.local_port, flow.remote, flow.remote_port}, i);
    }
    for (DiagnosedDrop& drop : diagnosis.drops) {
        if (!drop.drop.flow) continue;
        const FlowOfDrop& key = *drop.drop.flow;
        const auto [begin, end] =
            places.equal_range({key.protocol, key.local, key.local_port, key.remote, key.remote_port});
        for (auto place = begin; place != end; ++place)
            if (!drop.flow || diagnosis.statistics.flows[place->second].interface_index == key.interface_index)
                drop.flow = place->second;
        if (!drop.flow || !drop.drop.is_loss || drop.drop.is_ours) continue;
        if (is_after_closing(drop.drop, diagnosis.statistics.flows[*drop.flow])) {
            drop.drop.is_loss = false;
            drop.drop.advice = "It arrived within seconds after its application had closed the socket.";
            drop.drop.command.clear();
            continue;
        }
        FlowDiagnosis& detail = diagnosis.flows[*drop.flow];
        Directions& dropped = detail.dropped;
        if (is_uncounted(drop.drop, KUDO_INGRESS)) detail.dropped_uncounted += drop.drop.counters[KUDO_INGRESS].packets;
        for (std::size_t i = 0; i < KUDO_DIRECTIONS; ++i) {
            dropped[i].packets += drop.drop.counters[i].packets;
            dropped[i].bytes += drop.drop.counters[i].bytes;
        }
    }
}

Result<void> read_own_drops(DataPath& data_path, Diagnosis& diagnosis) {
    DropReport report = KUDO_TRY(read_drops(data_path));
    diagnosis.drops_measured = report.available;
    diagnosis.drops_why_not = std::move(report.why_not);
    diagnosis.drops_evicted = report.evicted;
    diagnosis.drops_missed = report.missed;
    if (std::ranges::any_of(report.rows, [](const Drop& drop) { return drop.place == "unknown"; }))
        diagnosis.gaps.emplace_back(
            "where in the kernel packets were dropped is hidden from this process (kernel.kptr_restrict): "
            "drops without a reason cannot be told from copies");
    for (Drop& drop : report.rows)
        diagnosis.drops.push_back({.drop = std::move(drop)});
    return {};
}

Result<void> find_drop_owners(DataPath& data_path, const HostSockets& sockets, Diagnosis& diagnosis) {
    auto owners = KUDO_TRY(DropOwners::make(data_path, sockets));
    owners.explain(diagnosis.drops);
    diagnosis.conntrack = owners.conntrack();
    diagnosis.gaps.insert(diagnosis.gaps.end(), owners.gaps().begin(), owners.gaps().end());
    return {};
}

Result<void> keep_since(const Instance& instance, const DataPath& data_path, std::chrono::seconds age,
                        Diagnosis& diagnosis) {
    const auto snapshot = KUDO_TRY(load_snapshot(instance, data_path, age));
    if (!snapshot)
        return fail(
            fmt::format("{}: no snapshot of the counters yet; the service, kudo-agent run, takes one every {} s",
                        instance.snapshots().string(), snapshot_every.count()));
    // A second of the clock's resolution.
    if (const std::size_t without = flows_without_past(
            diagnosis, snapshot->series, diagnosis.statistics.read_at - snapshot->age - std::chrono::seconds(1)))
        diagnosis.gaps.push_back(
            fmt::format("{} flows had no room in the snapshot: theirs are the counts of their whole life", without));
    keep_growth(diagnosis, snapshot->series);
    diagnosis.since = snapshot->age;
    return {};
}

// A tunnel's interface carries IP packets without a link layer's header.
Result<void> mark_tunnels(Diagnosis& diagnosis) {
    const auto interfaces = KUDO_TRY(list_interfaces());
    for (const Interface& interface : interfaces) {
        if (interface.link != KUDO_LINK_NONE || interface.loopback || interface.ppp) continue;
        for (std::size_t i = 0; i < diagnosis.statistics.flows.size(); ++i)
            if (diagnosis.statistics.flows[i].interface_index == interface.index) diagnosis.flows[i].by_tunnel = true;
    }
    return {};
}

// The sockets of this host's flows, by their place: and how TCP fares, which is noted.
using FlowSockets = std::map<std::size_t, std::vector<uint32_t>>; // inodes
FlowSockets find_sockets(Diagnosis& diagnosis, const Sockets& sockets) {
    FlowSockets inodes;
    for (std::size_t i = 0; i < diagnosis.statistics.flows.size(); ++i) {
        const FlowRecord& flow = diagnosis.statistics.flows[i];
        if (flow.protocol != IPPROTO_UDP && flow.protocol != IPPROTO_TCP) continue;
        for (const Socket* socket :
             sockets.of_flow(flow.protocol, flow.local, flow.local_port, flow.remote, flow.remote_port)) {
            if (socket->tcp && flow.protocol == IPPROTO_TCP && socket->remote_port != 0) {
                FlowDiagnosis& detail = diagnosis.flows[i];
                detail.tcp = socket->tcp;
                detail.stall = stall_text(*socket);
            }
            if (socket->inode != 0) inodes[i].push_back(socket->inode);
        }
    }
    return inodes;
}

// The same of denied flows, of which many are a stranger's: the first of the list are looked at.
FlowSockets find_denied_sockets(const Diagnosis& diagnosis, const Sockets& sockets) {
    constexpr std::size_t looked_at = 1000;
    FlowSockets inodes;
    const auto& flows = diagnosis.statistics.denied.flows;
    for (std::size_t i = 0; i < std::min(flows.size(), looked_at); ++i)
        for (const Socket* socket : sockets.of_flow(flows[i].protocol, flows[i].local, flows[i].local_port,
                                                    flows[i].remote, flows[i].remote_port))
            if (socket->inode != 0) inodes[i].push_back(socket->inode);
    return inodes;
}

// One dump of the sockets and one walk through /proc, for the flows and for the drops. What cannot be read is a gap.
HostSockets read_sockets(Diagnosis& diagnosis, bool with_processes) {
    constexpr std::array<uint8_t, 2> protocols = {IPPROTO_UDP, IPPROTO_TCP};
    HostSockets host;
    auto sockets = Sockets::read(protocols);
    if (!sockets) {
        diagnosis.gaps.push_back("sockets cannot be read: " + sockets.error().message);
        return host;
    }
    host.sockets = std::move(*sockets);
    const FlowSockets of_flows = find_sockets(diagnosis, *host.sockets);
    std::set<uint32_t> inodes = socket_inodes(diagnosis.drops, *host.sockets);
    const FlowSockets of_denied = with_processes ? find_denied_sockets(diagnosis, *host.sockets) : FlowSockets{};
    if (with_processes)
        for (const FlowSockets* part : {&of_flows, &of_denied})
            for (const auto& [flow, list] : *part)
                inodes.insert(list.begin(), list.end());
    if (inodes.empty()) return host;
    auto owners = owners_of(inodes);
    if (!owners) {
        diagnosis.gaps.push_back("processes cannot be read: " + owners.error().message);
        return host;
    }
    host.owners = std::move(*owners);
    for (const auto& [flow, list] : with_processes ? of_flows : FlowSockets{}) {
        FlowDiagnosis& detail = diagnosis.flows[flow];
        for (const uint32_t inode : list)
            host.owners->add_to(detail.processes, inode);
        detail.processes_complete = host.owners->complete();
    }
    for (const auto& [flow, list] : of_denied) {
        DeniedOwners& owners_of_flow = diagnosis.denied[flow];
        for (const uint32_t inode : list)
            host.owners->add_to(owners_of_flow.processes, inode);
        owners_of_flow.complete = host.owners->complete();
    }
    return host;
}

} // namespace

Result<Diagnosis> diagnose(const Instance& instance, const DiagnosisScope& scope) {
    Diagnosis diagnosis;
    diagnosis.statistics = KUDO_TRY(read_statistics(instance));
    auto data_path = KUDO_TRY(DataPath::open(instance));
    if (const auto read = read_own_drops(data_path, diagnosis); !read) {
        diagnosis.drops_why_not = read.error().message;
        diagnosis.drops_measured = false;
    }
    if (scope.since)
        if (auto kept = keep_since(instance, data_path, *scope.since, diagnosis); !kept && !scope.or_whole)
            return fail(std::move(kept.error()));
    link_flows(diagnosis);
    if (!scope.owners) return diagnosis;
    const HostSockets sockets = read_sockets(diagnosis, scope.processes);
    if (const auto found = find_drop_owners(data_path, sockets, diagnosis); !found)
        diagnosis.gaps.push_back("whose decision the drops were cannot be found out: " + found.error().message);
    if (const auto read = mark_tunnels(diagnosis); !read)
        diagnosis.gaps.push_back("interfaces cannot be read: " + read.error().message);
    judge_losses(diagnosis);
    return diagnosis;
}

} // namespace kudo
