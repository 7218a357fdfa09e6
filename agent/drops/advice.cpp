// SPDX-License-Identifier: MIT
#include "agent/drops/advice.h"

#include <algorithm>
#include <iterator>

namespace kudo {
namespace {

// Where the reason says nothing: before Linux 5.17, and NOT_SPECIFIED. `function` is how the names begin; the first
// that fits decides. The advice is that of the reason which newer kernels give there, where there is one.
struct FunctionAdvice {
    std::string_view function;
    DropLayer layer;
    std::string_view reason = {}; // whose advice; "": none fits
    bool is_loss = true;
};
// No packets, and no reasons of the kernel's.
constexpr std::string_view route_lookup = "ROUTE_LOOKUP";
constexpr std::string_view test_run = "TEST_RUN";
constexpr FunctionAdvice by_function[] = {
    // Copies for captures and raw sockets, and what a closed socket leaves.
    {"packet_rcv", DropLayer::Socket, "PACKET_SOCK_ERROR", false},
    {"tpacket_rcv", DropLayer::Socket, "PACKET_SOCK_ERROR", false},
    {"raw_rcv", DropLayer::Socket, "PACKET_SOCK_ERROR", false},
    {"rawv6_rcv", DropLayer::Socket, "PACKET_SOCK_ERROR", false},
    {"skb_queue_purge", DropLayer::Socket, "QUEUE_PURGE", false},
    {"__skb_queue_purge", DropLayer::Socket, "QUEUE_PURGE", false},
    {"sk_stream_kill_queues", DropLayer::Socket, "QUEUE_PURGE", false},
    {"inet_csk_destroy_sock", DropLayer::Socket, "QUEUE_PURGE", false},
    {"inet_sock_destruct", DropLayer::Socket, "QUEUE_PURGE", false},
    {"udp_destruct", DropLayer::Socket, "QUEUE_PURGE", false},
    {"first_packet_length", DropLayer::Network, "UDP_CSUM"},
    {"inet_rtm_getroute", DropLayer::Other, route_lookup, false},
    {"inet6_rtm_getroute", DropLayer::Other, route_lookup, false},
    {"bpf_prog_test_run", DropLayer::Other, test_run, false},
    {"bpf_test_run", DropLayer::Other, test_run, false},
    {"nft_do_chain", DropLayer::Firewall, "NETFILTER_DROP"},
    {"nf_hook_slow", DropLayer::Firewall, "NETFILTER_DROP"},
    {"nf_hook_", DropLayer::Firewall, "NETFILTER_DROP"},
    {"ipt_do_table", DropLayer::Firewall, "NETFILTER_DROP"},
    {"ip6t_do_table", DropLayer::Firewall, "NETFILTER_DROP"},
    {"nf_conntrack", DropLayer::Conntrack, "NETFILTER_DROP"},
    {"nf_ct_", DropLayer::Conntrack, "NETFILTER_DROP"},
    {"nf_nat", DropLayer::Conntrack, "NETFILTER_DROP"},
    {"nf_", DropLayer::Firewall, "NETFILTER_DROP"},
    {"nft_", DropLayer::Firewall, "NETFILTER_DROP"},
    {"veth_xdp", DropLayer::Xdp, "XDP"},
    {"veth_poll", DropLayer::Xdp, "XDP"},
    {"do_xdp_generic", DropLayer::Xdp, "XDP"},
    {"netif_receive_generic_xdp", DropLayer::Xdp, "XDP"},
    {"bpf_prog_run_generic_xdp", DropLayer::Xdp, "XDP"},
    {"sch_handle_ingress", DropLayer::Tc, "TC_INGRESS"},
    {"sch_handle_egress", DropLayer::Tc, "TC_EGRESS"},
    {"__netif_receive_skb", DropLayer::Tc, "TC_INGRESS"}, // or a protocol that nobody handles: KUDO's are not that
    {"tcf_", DropLayer::Tc, "TC_INGRESS"},
    {"__cgroup_bpf", DropLayer::Policy, "BPF_CGROUP_EGRESS"},
    {"__xfrm", DropLayer::Policy, "XFRM_POLICY"},
    {"xfrm", DropLayer::Policy, "XFRM_POLICY"},
    {"__neigh", DropLayer::Neighbour, "NEIGH_FAILED"},
    {"neigh_", DropLayer::Neighbour, "NEIGH_FAILED"},
    {"arp_", DropLayer::Neighbour, "NEIGH_FAILED"},
    {"ndisc_", DropLayer::Neighbour, "NEIGH_FAILED"},
    {"__rtnl_unlock", DropLayer::Queue, "DEV_READY"}, // a queue removed with its backlog
    {"rtnl_kfree_skbs", DropLayer::Queue, "DEV_READY"},
    {"qdisc_", DropLayer::Queue, "DEV_READY"},
    {"pfifo_fast_reset", DropLayer::Queue, "DEV_READY"},
    {"dev_deactivate", DropLayer::Queue, "DEV_READY"},
    {"__dev_queue_xmit", DropLayer::Queue, "QDISC_DROP"},
    {"__dev_xmit_skb", DropLayer::Queue, "QDISC_DROP"},
    {"__qdisc_", DropLayer::Queue, "QDISC_DROP"},
    {"sch_direct_xmit", DropLayer::Queue, "QDISC_DROP"},
    {"net_tx_action", DropLayer::Queue, "FULL_RING", false}, // the same, later
    {"kfree_skb_list", DropLayer::Queue, "QDISC_DROP"},      // its callers are queues, but for a few
    {"enqueue_to_backlog", DropLayer::Queue, "CPU_BACKLOG"},
    {"netif_rx", DropLayer::Queue, "CPU_BACKLOG"},
    {"validate_xmit_skb", DropLayer::Queue, "SKB_GSO_SEG"},
    // Drivers free what they have sent by these, too: nothing tells it from a loss.
    {"dev_kfree_skb", DropLayer::Queue, "FULL_RING", false},
    {"__dev_kfree_skb", DropLayer::Queue, "FULL_RING", false},
    {"veth_xmit", DropLayer::Queue, "FULL_RING"},
    {"tun_net_xmit", DropLayer::Queue, "FULL_RING"},
    {"__udp4_lib_mcast", DropLayer::Socket, "NO_SOCKET", false},
    {"__udp6_lib_mcast", DropLayer::Socket, "NO_SOCKET", false},
    {"__udp4_lib_rcv", DropLayer::Socket, "NO_SOCKET"},
    {"__udp6_lib_rcv", DropLayer::Socket, "NO_SOCKET"},
    {"udp_queue_rcv", DropLayer::Socket, "SOCKET_RCVBUFF"},
    {"udpv6_queue_rcv", DropLayer::Socket, "SOCKET_RCVBUFF"},
    {"udp_recvmsg", DropLayer::Network, "UDP_CSUM"},
    {"udpv6_recvmsg", DropLayer::Network, "UDP_CSUM"},
    {"__udp_enqueue", DropLayer::Socket, "SOCKET_RCVBUFF"},
    {"sock_queue_rcv", DropLayer::Socket, "SOCKET_RCVBUFF"},
    {"tcp_ofo_queue", DropLayer::Network, "TCP_OFOMERGE", false},
    {"tcp_prune", DropLayer::Socket, "TCP_OFO_QUEUE_PRUNE"},
    {"tcp_v4_rcv", DropLayer::Socket},
    {"tcp_v6_rcv", DropLayer::Socket},
    {"tcp_", DropLayer::Socket},
    {"udp", DropLayer::Socket},
    {"sk_", DropLayer::Socket},
    {"ping_", DropLayer::Socket, "NO_SOCKET", false},
    {"icmp_", DropLayer::Network, "IP_INHDR"},
    {"ip_rcv_finish", DropLayer::Route, "IP_RPFILTER"},
    {"ip_route", DropLayer::Route, "IP_INNOROUTES"},
    {"ip_error", DropLayer::Route, "IP_INNOROUTES"},
    {"dst_discard", DropLayer::Route, "IP_OUTNOROUTES"},
    {"ip6_pkt_drop", DropLayer::Route, "IP_OUTNOROUTES"},
    {"ip_forward", DropLayer::Route, "PKT_TOO_BIG"},
    {"ip6_forward", DropLayer::Route, "PKT_TOO_BIG"},
    {"ip_fragment", DropLayer::Route, "PKT_TOO_BIG"},
    {"ip_do_fragment", DropLayer::Route, "PKT_TOO_BIG"},
    {"ip6_fragment", DropLayer::Route, "PKT_TOO_BIG"},
    {"ip_finish_output", DropLayer::Route},
    {"ip6_finish_output", DropLayer::Route},
    {"ip_rcv", DropLayer::Network, "IP_INHDR"},
    {"ip6_rcv", DropLayer::Network, "IP_INHDR"},
    {"ipv6_rcv", DropLayer::Network, "IP_INHDR"},
    {"ip_expire", DropLayer::Network, "FRAG_REASM_TIMEOUT"},
    {"ip6_expire", DropLayer::Network, "FRAG_REASM_TIMEOUT"},
    {"ip6frag_expire", DropLayer::Network, "FRAG_REASM_TIMEOUT"},
    {"inet_frag", DropLayer::Network, "FRAG_REASM_TIMEOUT"},
    {"ip_frag", DropLayer::Network, "FRAG_REASM_TIMEOUT"},
    {"ip_defrag", DropLayer::Network, "FRAG_REASM_TIMEOUT"},
    {"eth_type_trans", DropLayer::Network, "HDR_TRUNC"},
};

const FunctionAdvice* advice_on_function(std::string_view function) {
    const auto fits = [&](const FunctionAdvice& row) { return function.starts_with(row.function); };
    const auto found = std::ranges::find_if(by_function, fits);
    return function.empty() || found == std::end(by_function) ? nullptr : &*found;
}

// Copies are no loss, whatever the reason says.
bool is_copy(std::string_view function) {
    const FunctionAdvice* row = advice_on_function(function);
    return row && row->reason == "PACKET_SOCK_ERROR";
}

constexpr std::string_view nothing_known =
    "This version of kudo-agent knows nothing of the reason: the kernel is newer, "
    "or gives none; the function that dropped the packet is all there is.";
constexpr std::string_view look_at_function = "nstat -az";

constexpr std::string_view layer_names[] = {"network",   "xdp",   "tc",     "firewall", "conntrack", "route",
                                            "neighbour", "queue", "socket", "policy",   "other"};

} // namespace

const ReasonAdvice* advice_on(std::string_view reason) {
    const auto fits = [&](const ReasonAdvice& row) {
        return row.reason == reason || (row.reason.ends_with('_') && reason.starts_with(row.reason));
    };
    const auto rows = reason_advice();
    const auto found = std::ranges::find_if(rows, fits);
    return found == rows.end() ? nullptr : &*found;
}

DropAdvice advice_for(std::string_view reason, std::string_view function) {
    const ReasonAdvice* known = reason == "NOT_SPECIFIED" ? nullptr : advice_on(reason);
    if (known)
        return {known->layer, known->is_loss && !is_copy(function), std::string(known->advice),
                std::string(known->command)};
    DropAdvice advice{DropLayer::Other, true, std::string(nothing_known), std::string(look_at_function)};
    // Neither says anything: it may as well be a copy for a capture, or a route that was asked for.
    if (function.empty() && (reason.empty() || reason == "NOT_SPECIFIED")) advice.is_loss = false;
    const FunctionAdvice* place = advice_on_function(function);
    if (!place) return advice;
    advice.layer = place->layer;
    advice.is_loss = place->is_loss;
    if (const ReasonAdvice* like = advice_on(place->reason)) {
        advice.advice = like->advice;
        advice.command = like->command;
    }
    return advice;
}

std::string_view layer_name(DropLayer layer) {
    return layer_names[static_cast<std::size_t>(layer)];
}

DropLayer layer_of(std::string_view reason, std::string_view function) {
    return advice_for(reason, function).layer;
}

} // namespace kudo
