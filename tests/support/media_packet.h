// SPDX-License-Identifier: MIT
// A packet of a call as a firewall meets it: incoming, new to conntrack, all else known.
#pragma once

#include <netinet/in.h>

#include "agent/firewall/packet_facts.h"

namespace kudo::test {

inline PacketFacts media_packet() {
    PacketFacts facts;
    facts.protocol = IPPROTO_UDP;
    facts.source = Address::parse("52.200.60.17").value();
    facts.destination = Address::parse("10.77.0.2").value();
    facts.source_port = 3478;
    facts.destination_port = 40000;
    facts.input = "eth0";
    facts.length = 128;
    facts.mark = 0x4b;
    facts.dscp = 46;
    facts.ct_states = CtNew;
    return facts;
}

} // namespace kudo::test
