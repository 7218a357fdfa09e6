// SPDX-License-Identifier: MIT
// Connection tracking of this network namespace: how full its table is, what it dropped, and what it knows of a flow.
// Invariant: read only; without conntrack in the kernel there is nothing, not zero.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "agent/firewall/packet_facts.h"
#include "maps/base/result.h"

namespace kudo {

// Entries: net.netfilter.nf_conntrack_count and _max. Events: sums over the CPUs of this namespace
// (IPCTNL_MSG_CT_GET_STATS_CPU, linux/netfilter/nfnetlink_conntrack.h), since it exists; the kernel keeps 32 bits of
// each.
struct ConntrackTable {
    uint64_t count = 0;         // entries in use
    uint64_t max = 0;           // 0: no limit
    uint64_t drop = 0;          // packets dropped because no entry could be made ("table full", no memory)
    uint64_t early_drop = 0;    // entries thrown out to make room
    uint64_t insert_failed = 0; // packets dropped because another had made the same entry meanwhile
    uint64_t invalid = 0;       // packets that belong to no connection (ct state invalid)

    // Does it refuse new entries, or nearly: at least 95 % in use?
    [[nodiscard]] bool is_full() const { return max != 0 && count >= max - max / 20; }
};
// Nothing: the kernel has no conntrack. Error: NotPermitted without CAP_NET_ADMIN.
Result<std::optional<ConntrackTable>> read_conntrack();

// "conntrack table full: 65536 of 65536 entries (net.netfilter.nf_conntrack_max)"
std::string conntrack_text(const ConntrackTable& table);

// What conntrack knows of the flow, put into facts.ct_states and facts.translated: asked by source, destination and
// ports of these facts (IPCTNL_MSG_CT_GET). No entry: the packet was new, related, invalid or untracked. `related` is
// left out where this namespace has never had an expected connection, and `invalid` where it had no invalid packet
// since `before`, an earlier reading; without one: never.
Result<void> add_conntrack_facts(PacketFacts& facts, const ConntrackTable* before = nullptr);

} // namespace kudo
