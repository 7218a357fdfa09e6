// SPDX-License-Identifier: MIT
// Which rules and policies really dropped packets: told by the kernel (NFNLGRP_NFTRACE), for packets with nftrace set.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <tuple>

#include "agent/firewall/packet_facts.h"
#include "agent/netlink/netlink.h"

namespace kudo::test {

// Table, chain, handle; 0: the policy.
using TracedDrop = std::tuple<std::string, std::string, uint64_t>;

class RuleTrace {
public:
    RuleTrace(); // of this thread's network namespace; throws
    // Of the packets since the last time that had these addresses and this protocol.
    std::map<TracedDrop, unsigned> drops_of(const PacketFacts& facts);

private:
    void take(const nlmsghdr* header, const PacketFacts& facts, std::map<TracedDrop, unsigned>& drops);

    NlSocket socket_;
    std::set<uint32_t> ours_;
};

} // namespace kudo::test
