// SPDX-License-Identifier: MIT
#include "agent/diagnosis/drop_owner.h"

#include <bpf/bpf.h>
#include <linux/pkt_sched.h>
#include <netinet/in.h>

#include <algorithm>
#include <cstring>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "agent/attach/attachment.h"
#include "agent/datapath/generation.h"
#include "agent/diagnosis/findings.h"
#include "agent/diagnosis/rule_evidence.h"
#include "agent/netlink/path_settings.h"
#include "agent/netlink/tc_object.h"
#include "agent/queues/tree.h"
#include "maps/base/abi_names.h"

namespace kudo {
namespace {

// Rules may have been others when it was longer ago.
bool is_recent(const Drop& drop) {
    return std::chrono::system_clock::now() - drop.last_seen <= recent_minute;
}

std::string process_text(const SocketOwner& process) {
    std::string text = fmt::format("{} (pid {}", process.name, process.pid);
    if (!process.unit.empty()) text += ", " + process.unit;
    if (!process.container.empty()) text += ", " + process.container;
    return text + ")";
}

// "4b55:1", as tc writes it.
std::string class_text(uint32_t id) {
    return fmt::format("{:x}:{:x}", id >> 16, id & 0xffff);
}

// What our programs write into skb->priority for the queues of interfaces that they are attached to, so that a class is
// known again. Where they name none of it, "other".
std::string carried_by(DataPath& data_path, uint32_t interface, uint32_t priority) {
    const auto treatment_in = [&](const uint32_t(&priorities)[KUDO_TREATMENTS]) -> std::optional<std::string> {
        for (std::size_t i = 0; i < KUDO_TREATMENTS; ++i)
            if (priorities[i] != 0 && priorities[i] == priority)
                return std::string(treatment_name(static_cast<kudo_treatment>(i)));
        return std::nullopt;
    };
    for (const uint32_t index : attached_interfaces(data_path.folder())) {
        const uint32_t element = index % KUDO_INTERFACES;
        kudo_interface entry{};
        if (bpf_map_lookup_elem(data_path.maps().interfaces.get(), &element, &entry) != 0 || entry.index != index)
            continue;
        // Incoming packets wait at another device, which is not ours to know here.
        if (auto name = index == interface ? treatment_in(entry.egress) : treatment_in(entry.ingress)) return *name;
    }
    if (const auto active = read_active(data_path.maps()))
        for (std::size_t i = 0; i < KUDO_TREATMENTS; ++i)
            if (const kudo_mark& mark = active->compiled.policy->marks[i];
                (mark.flags & KUDO_MARK_PRIORITY) && mark.priority == priority)
                return std::string(treatment_name(static_cast<kudo_treatment>(i)));
    return "other";
}

} // namespace

std::string_view owner_kind_name(DropOwner::Kind kind) {
    switch (kind) {
    case DropOwner::Kind::Rule:
        return "rule";
    case DropOwner::Kind::Conntrack:
        return "conntrack";
    case DropOwner::Kind::Socket:
        return "socket";
    case DropOwner::Kind::Queue:
        return "queue";
    case DropOwner::Kind::Setting:
        return "setting";
    case DropOwner::Kind::Program:
        return "program";
    case DropOwner::Kind::Route:
        return "route";
    case DropOwner::Kind::Neighbour:
        return "neighbour";
    case DropOwner::Kind::Unknown:
        break;
    }
    return "unknown";
}

std::set<uint32_t> socket_inodes(const std::vector<DiagnosedDrop>& drops, const Sockets& sockets) {
    std::set<uint32_t> inodes;
    for (const DiagnosedDrop& drop : drops) {
        if (drop.drop.layer != DropLayer::Socket || !drop.drop.flow) continue;
        const FlowOfDrop& flow = *drop.drop.flow;
        for (const Socket* socket :
             sockets.of_flow(flow.protocol, flow.local, flow.local_port, flow.remote, flow.remote_port))
            inodes.insert(socket->inode);
        if (drop.drop.socket) inodes.insert(static_cast<uint32_t>(drop.drop.socket->inode));
    }
    inodes.erase(0);
    return inodes;
}

Result<DropOwners> DropOwners::make(DataPath& data_path, const HostSockets& sockets) {
    auto interfaces = KUDO_TRY(list_interfaces());
    const auto addresses = KUDO_TRY(own_addresses());
    return DropOwners(data_path, sockets, std::move(interfaces), {addresses.begin(), addresses.end()});
}

std::string DropOwners::interface_name(uint32_t index) const {
    if (index == 0) return "";
    const auto found = std::ranges::find(interfaces_, index, &Interface::index);
    return found != interfaces_.end() ? found->name : fmt::format("#{}", index);
}

const Ruleset* DropOwners::ruleset() {
    if (!std::exchange(ruleset_read_, true)) {
        auto ruleset = read_ruleset();
        if (ruleset) {
            for (const std::string& gap : ruleset->gaps())
                gaps_.push_back("firewall rules: " + gap);
            ruleset_ = std::move(*ruleset);
        } else {
            gaps_.push_back("the firewall's rules cannot be read: " + ruleset.error().message);
        }
    }
    return ruleset_ ? &*ruleset_ : nullptr;
}

void DropOwners::read_conntrack_once() {
    if (std::exchange(conntrack_read_, true)) return;
    if (auto table = read_conntrack())
        conntrack_ = *table;
    else
        gaps_.push_back("connection tracking cannot be read: " + table.error().message);
}

PacketFacts DropOwners::facts_of(const FlowOfDrop& flow, kudo_direction direction) const {
    const bool in = direction == KUDO_INGRESS;
    PacketFacts facts;
    // A flow of another host's that this one forwards.
    const bool forwarded = !own_.empty() && !own_.contains(flow.local);
    facts.path = forwarded ? PacketPath::Forwarded : in ? PacketPath::In : PacketPath::Out;
    facts.protocol = flow.protocol;
    facts.source = in ? flow.remote : flow.local;
    facts.destination = in ? flow.local : flow.remote;
    if (!flow.non_first_fragment && (flow.protocol == IPPROTO_UDP || flow.protocol == IPPROTO_TCP)) {
        facts.source_port = in ? flow.remote_port : flow.local_port;
        facts.destination_port = in ? flow.local_port : flow.remote_port;
    }
    const std::string name = interface_name(flow.interface_index);
    if (!name.empty() && !forwarded) (in ? facts.input : facts.output) = name;
    return facts;
}

void DropOwners::explain_firewall(DiagnosedDrop& drop) {
    const Ruleset* const rules = drop.drop.flow ? ruleset() : nullptr;
    if (!rules) return;
    // What conntrack and counters say now is not what they said as the packet was dropped: neither is asked.
    const PacketFacts facts = facts_of(*drop.drop.flow, direction_of(drop.drop));
    RuleVerdict verdict = find_dropping_rule(*rules, facts, {.counters = false});
    const bool not_by_nft = frees_elsewhere(drop.drop);
    if (not_by_nft) std::erase_if(verdict.points, [](const DropPoint& point) { return !point.legacy; });
    // These drop only when they fail, which is seldom; conntrack is as likely then.
    std::erase_if(verdict.points, [](const DropPoint& point) { return point.kind == DropPoint::Kind::Nat; });
    DropOwner& owner = drop.owner;
    read_conntrack_once();
    const bool full = conntrack_ && conntrack_->is_full() && is_shared_place(drop.drop);
    if (verdict.certainty == RuleVerdict::Certainty::None || (verdict.points.empty() && not_by_nft)) {
        if (full) return explain_conntrack(drop);
        drop.advice = "Which rule dropped it cannot be told now: " + verdict.why + ".";
        drop.command = "nft list ruleset";
        return;
    }
    if (verdict.points.empty()) { // more than can be listed
        drop.advice = "Which rule drops it cannot be told: " + verdict.why + ".";
        drop.command = "nft -a list ruleset";
        return;
    }
    owner.kind = DropOwner::Kind::Rule;
    drop.drop.layer = DropLayer::Firewall; // the place may have been taken for conntrack's, and the other way round
    // Not if the ruleset is not known whole, if the packet may have gone another way, if conntrack drops at the same
    // place, or if the rule's own counter has seen fewer.
    owner.certain = verdict.certainty == RuleVerdict::Certainty::Certain && verdict.points.size() == 1 &&
                    rules->gaps().empty() && own_.contains(drop.drop.flow->local) && !full && is_recent(drop.drop) &&
                    counts_enough(verdict.points.front(), drop.drop) &&
                    verdict.points.front().kind != DropPoint::Kind::Unknown &&
                    verdict.points.front().kind != DropPoint::Kind::Queue;
    owner.rules = std::move(verdict.points);
    const DropPoint& first = owner.rules.front();
    if (owner.certain) {
        owner.text = point_text(first);
        const bool policy = first.kind == DropPoint::Kind::Policy;
        drop.advice =
            policy ? "No rule of the chain accepts it, so the chain's default (policy drop) applies: add an accept "
                     "rule for KUDO's ranges to it"
                   : "Put an accept rule for KUDO's ranges before it";
        if (!first.comment.empty())
            drop.advice += fmt::format(" (its comment, \"{}\", may tell who wanted it)", first.comment);
        drop.advice += accept_words(first, *drop.drop.flow, direction_of(drop.drop));
        drop.command = first.legacy
                           ? fmt::format("{}-legacy -t {} -vnL {}", first.family == "ip6" ? "ip6tables" : "iptables",
                                         first.table, first.chain)
                           : fmt::format("nft -a list chain {} {} {}", first.family, first.table, first.chain);
        return;
    }
    owner.text = owner.rules.size() == 1
                     ? "probably " + point_text(first)
                     : fmt::format("one of {} rules; the first is {}", owner.rules.size(), point_text(first));
    drop.advice = "Which rule it is cannot be told for certain from here. An accept rule for KUDO's ranges before the "
                  "first of them helps in either case";
    drop.advice += accept_words(first, *drop.drop.flow, direction_of(drop.drop));
    drop.command = "nft -a list ruleset";
}

void DropOwners::explain_conntrack(DiagnosedDrop& drop) {
    read_conntrack_once();
    DropOwner& owner = drop.owner;
    owner.kind = DropOwner::Kind::Conntrack;
    drop.drop.layer = DropLayer::Conntrack;
    if (!conntrack_) return;
    owner.text = fmt::format("{} of {} entries in use", conntrack_->count, conntrack_->max);
    owner.certain = conntrack_->is_full();
    if (owner.certain) {
        owner.text = conntrack_text(*conntrack_);
        drop.advice =
            "The table of connection tracking is full: raise net.netfilter.nf_conntrack_max, or exempt KUDO's "
            "ranges from tracking (notrack).";
        drop.command = "sysctl net.netfilter.nf_conntrack_count net.netfilter.nf_conntrack_max";
    }
}

void DropOwners::explain_socket(DiagnosedDrop& drop) {
    DropOwner& owner = drop.owner;
    const FlowOfDrop& flow = *drop.drop.flow;
    std::vector<const Socket*> sockets;
    if (sockets_.sockets)
        sockets = sockets_.sockets->of_flow(flow.protocol, flow.local, flow.local_port, flow.remote, flow.remote_port);
    std::set<uint32_t> inodes;
    for (const Socket* socket : sockets)
        inodes.insert(socket->inode);
    const auto& seen = drop.drop.socket;
    // The kernel has named it: the others of the port are not it.
    if (seen && seen->inode != 0) {
        inodes = {static_cast<uint32_t>(seen->inode)};
        std::erase_if(sockets, [&](const Socket* socket) { return !inodes.contains(socket->inode); });
    }
    inodes.erase(0);
    owner.certain = inodes.size() == 1;
    if (seen && seen->receive_buffer != 0) {
        owner.receive_buffer = seen->receive_buffer;
        owner.queued = seen->queued;
    } else if (sockets.size() == 1 && sockets.front()->memory) {
        owner.receive_buffer = sockets.front()->memory->receive_buffer;
        owner.queued = sockets.front()->memory->receive_used;
    }
    owner.processes_complete = sockets_.owners && sockets_.owners->complete();
    if (sockets_.owners)
        for (const uint32_t inode : inodes)
            sockets_.owners->add_to(owner.processes, inode);
    if (inodes.empty() && owner.receive_buffer == 0) {
        if (sockets_.sockets)
            drop.advice = fmt::format("No application has local port {} open now. {}", flow.local_port, drop.advice);
        return;
    }
    owner.kind = DropOwner::Kind::Socket;
    std::vector<std::string> names;
    for (const SocketOwner& process : owner.processes)
        names.push_back(process_text(process));
    if (names.empty())
        names.push_back(sockets_.sockets && sockets.empty() ? "a socket that has been closed since"
                        : owner.processes_complete          ? "a socket that no process has open any more"
                                                            : "a process that kudo-agent may not see");
    owner.text = fmt::format("{}, local port {}", fmt::join(names, " or "), flow.local_port);
    const bool full = drop.drop.reason == "SOCKET_RCVBUFF" && owner.receive_buffer != 0;
    if (full && owner.receive_buffer < usual_receive_buffer)
        drop.advice = fmt::format("The program asked for a buffer of only {} kB: it must ask for more (SO_RCVBUF).",
                                  owner.receive_buffer / 1000);
    else if (full)
        drop.advice =
            "The program does not read fast enough (is the host's CPU full?), or needs a larger buffer: it may ask "
            "for up to net.core.rmem_max.";
    if (owner.receive_buffer != 0)
        owner.text +=
            fmt::format(", {} of {} kB of its receive buffer used", owner.queued / 1000, owner.receive_buffer / 1000);
}

void DropOwners::explain_queue(DiagnosedDrop& drop) {
    const uint32_t index = drop.drop.flow ? drop.drop.flow->interface_index : 0;
    const std::string device = interface_name(index);
    if (device.empty()) return;
    DropOwner& owner = drop.owner;
    owner.kind = DropOwner::Kind::Queue;
    owner.device = device;
    owner.certain = true;
    owner.carries = carried_by(data_path_, index, drop.drop.queue_class);
    std::string kind = "queue";
    if (const auto qdiscs = list_qdiscs(index)) {
        const auto root = std::ranges::find(*qdiscs, TC_H_ROOT, &TcObject::parent);
        if (root != qdiscs->end()) kind = root->kind == "noqueue" ? "a queue that is gone" : root->kind;
    }
    owner.queue =
        drop.drop.queue_class >> 16 != 0 ? fmt::format("{} {}", kind, class_text(drop.drop.queue_class)) : kind;
    owner.text = fmt::format("{} on {}, packets of {}", owner.queue, device, owner.carries);
    drop.command = fmt::format("tc -s qdisc show dev {}", device);
    if (drop.drop.queue_class >> 16 == queue_handle >> 16)
        drop.advice =
            "kudo-agent's own shaper was full: this host sends more than the rate that enable --uplink was given. Give "
            "it the line's real rate, such as --uplink 20mbit, or send less.";
}

void DropOwners::explain_route(DiagnosedDrop& drop) {
    const FlowOfDrop& flow = *drop.drop.flow;
    DropOwner& owner = drop.owner;
    const std::string device = interface_name(flow.interface_index);
    if (drop.drop.reason == "IP_RPFILTER") {
        const auto settings = device.empty() ? fail("") : read_interface_settings(device);
        if (!settings || settings->rp_filter_text().empty()) return;
        owner.kind = DropOwner::Kind::Setting;
        owner.text = settings->rp_filter_text();
        owner.certain = settings->effective_rp_filter() == 1; // else it was another then
        const auto back = read_route_state(flow.remote);
        drop.advice =
            back && back->interface == device
                ? fmt::format("The route back to {} leaves by {}, as it should, by now: see whether it goes on.",
                              flow.remote.text(), device)
                : fmt::format(
                      "Packets come in by {}, but the route back to {} leaves {}: correct the route; where both "
                      "ways are meant, set net.ipv4.conf.all.rp_filter to 2 (loose).",
                      device, flow.remote.text(),
                      back && !back->interface.empty() ? "by " + back->interface : "elsewhere");
        drop.command = fmt::format("ip route get {}", flow.remote.text());
        return;
    }
    const auto state =
        read_route_state(flow.remote, own_.contains(flow.local) ? std::optional(flow.local) : std::nullopt);
    if (!state) return;
    owner.kind = drop.drop.layer == DropLayer::Neighbour ? DropOwner::Kind::Neighbour : DropOwner::Kind::Route;
    owner.text = route_text(*state);
    if (drop.command.empty()) drop.command = fmt::format("ip route get {}", flow.remote.text());
}

void DropOwners::explain_program(DiagnosedDrop& drop) {
    if (drop.drop.programs.empty()) return;
    DropOwner& owner = drop.owner;
    owner.kind = DropOwner::Kind::Program;
    owner.programs = drop.drop.programs;
    owner.certain = owner.programs.size() == 1;
    owner.text = fmt::format("{}", fmt::join(owner.programs, " or "));
}

void DropOwners::explain(DiagnosedDrop& drop) {
    drop.advice = drop.drop.advice;
    drop.command = drop.drop.command;
    if (drop.drop.is_ours || !drop.drop.is_loss || !drop.drop.flow) return;
    switch (drop.drop.layer) {
    case DropLayer::Firewall:
        return explain_firewall(drop);
    case DropLayer::Conntrack: {
        // Also where rules are dropped by kernels before 6.4.
        explain_firewall(drop);
        if (drop.owner.kind == DropOwner::Kind::Unknown) explain_conntrack(drop);
        return;
    }
    case DropLayer::Socket:
        // What this host sends to KUDO has come back to it: the route's fault.
        return direction_of(drop.drop) == KUDO_EGRESS && drop.drop.reason == "NO_SOCKET" ? explain_route(drop)
                                                                                         : explain_socket(drop);
    case DropLayer::Queue:
        return explain_queue(drop);
    case DropLayer::Route:
    case DropLayer::Neighbour:
        return explain_route(drop);
    case DropLayer::Xdp:
    case DropLayer::Tc:
        return explain_program(drop);
    default:
        return;
    }
}

void DropOwners::explain(std::vector<DiagnosedDrop>& drops) {
    // Each costs a look at rules, routes or queues; the first ones have most packets.
    constexpr std::size_t most = 500;
    if (drops.size() > most)
        gaps_.push_back(fmt::format("of {} rows of drops only the first {} were looked into", drops.size(), most));
    std::size_t explained = 0;
    for (DiagnosedDrop& drop : drops) {
        drop.interface = interface_name(drop.drop.flow ? drop.drop.flow->interface_index : 0);
        if (explained++ < most)
            explain(drop);
        else
            drop.advice = drop.drop.advice, drop.command = drop.drop.command;
    }
}

} // namespace kudo
