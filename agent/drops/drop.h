// SPDX-License-Identifier: MIT
// Packets of KUDO's flows that this host's kernel has dropped: where, why, what to do. As bpf/drops.bpf.c has counted
// them since enable, with names for people.
// Invariant: what cannot be told is empty or said to be unknown; counters are packets and layer-3 bytes as on the wire.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "agent/datapath/datapath.h"
#include "agent/drops/layer.h"
#include "bpf/drops.h"
#include "maps/base/result.h"
#include "maps/net/prefix.h"

namespace kudo {

struct FlowOfDrop {
    uint8_t protocol = 0; // IPPROTO_*
    Address local, remote;
    uint16_t local_port = 0, remote_port = 0; // host order; 0: the packets carry none
    bool non_first_fragment = false;          // these packets carry no ports because they are fragments after the first
    uint32_t interface_index = 0;             // 0: not known
};

// Of the last packet of the row: the socket that it was for (ingress) or from (egress).
struct SocketFacts {
    uint64_t inode = 0;          // as in /proc/PID/fd; 0: not known, or no process holds it
    uint32_t receive_buffer = 0; // sk_rcvbuf, bytes as the kernel accounts them
    uint32_t queued = 0;         // sk_rmem_alloc, the same
    uint8_t protocol = 0;        // IPPROTO_*
    uint64_t cookie = 0;         // SO_COOKIE; 0: none yet
};

struct Drop {
    DropLayer layer = DropLayer::Other;
    std::string reason; // "NETFILTER_DROP"; "reason 300" for one that the kernel's BTF does not name; "" before 5.17
    uint32_t reason_number = 0;
    std::string place;     // "nft_do_chain+0x5f3"; "unknown" where /proc/kallsyms hides addresses (kptr_restrict)
    uint64_t location = 0; // the address itself; not for display
    bool is_loss = true;   // false: the packet was not needed any more: see advice.h
    bool is_ours = false;  // a program of kudo-agent has dropped it: in its counters by reason already
    // false: it may be another network namespace's, whose address and ports are the same as such packets here would
    // have. Only of packets that the kernel had taken in already and knew no device of any more (waiting in a socket,
    // or for other fragments), where the flow is not in the flow table either.
    bool namespace_known = true;
    std::optional<FlowOfDrop> flow;
    std::array<kudo_counter, KUDO_DIRECTIONS> counters{}; // by kudo_direction; one of the two has packets
    uint32_t queue_class = 0; // skb->priority: of layer Queue the class, as tc's "major:minor" 0x00010002
    std::chrono::system_clock::time_point first_seen, last_seen; // resolution of the kernel's tick
    std::optional<SocketFacts> socket;
    std::vector<std::string> programs; // layer Xdp and Tc: other people's programs that could have dropped it, by name
                                       // and id: "cil_from_netdev (#12)"
    std::string advice;                // one sentence
    std::string command;               // one command to run: it looks, it changes nothing
};

// Neither reason nor place is known (kernels before 5.17, kptr_restrict): it may be a loss, a copy, or what another
// program has dropped on purpose.
bool is_untold(const Drop& drop);

struct DropReport {
    bool available = false; // the program is attached, and this is what it has counted
    std::string why_not;    // a sentence, unless available. What was counted before may be there all the same
    std::vector<Drop> rows; // most packets first, losses before what is no loss
    // Every cause with its sum over all flows, which is exact also where rows were evicted: no flow, socket or times.
    // What only a flow tells, that it is no loss or our own, is told apart as far as there are rows.
    std::vector<Drop> totals;
    std::array<kudo_counter, KUDO_DIRECTIONS> evicted{}; // in totals, but in no row any more
    // Dropped while another drop was being counted on the same CPU, so not counted: whose packets is not known.
    uint64_t missed = 0;
    uint64_t unparsed = 0; // packets whose IP header could not be found
};

// Was anything dropped so lately, be it a loss or not, but for what asking for a route leaves? Reads no more than that
// takes: naming what was dropped takes ten times as long.
Result<bool> has_drops_since(DataPath& data_path, std::chrono::seconds age);

// Errors: NotPermitted, or tables that cannot be read. Tracing that is not there is no error: see `available`.
Result<DropReport> read_drops(DataPath& data_path);

} // namespace kudo
