// SPDX-License-Identifier: MIT
// The traffic of `demo`: real sockets, both ways, in whatever network namespaces they were opened.
// Invariant: every wait ends within a few seconds.
#pragma once

#include <cstdint>
#include <map>

#include "agent/system/network_namespace.h"

namespace kudo {

struct Endpoint {
    const NetworkNamespace* space;
    const char* address;
    uint16_t port;
};

struct UdpOutcome {
    unsigned answered = 0;                      // of the packets sent
    std::map<unsigned, unsigned> dscp_received; // at the server: DSCP to packets
};
// A client in `client` sends `packets` datagrams of `bytes` payload to the server, which sends each one back.
Result<UdpOutcome> exchange_udp(const NetworkNamespace& client, const Endpoint& server, unsigned packets,
                                unsigned bytes);

// A client sends `bytes` to the server over TCP, then receives as many. Returns how many came back.
Result<uint64_t> exchange_tcp(const NetworkNamespace& client, const Endpoint& server, uint64_t bytes);

} // namespace kudo
