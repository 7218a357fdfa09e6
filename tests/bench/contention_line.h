// SPDX-License-Identifier: MIT
// A line that is narrower than what stands on both of its ends: a host, its modem, and a server on the other side.
// Invariant: the bottleneck is the modem's, both ways: one FIFO of half a second, out of the host's reach.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "agent/system/network_namespace.h"
#include "tests/bench/contention_relay.h"
#include "tests/support/capture.h"
#include "tests/support/test_host.h"

namespace kudo::bench {

enum class Direction { Uplink, Downlink, Both };

// What the agent is asked for. The rates stay below the modem's, or its queue fills and not the host's.
struct AgentQueue {
    std::string kind, uplink, downlink;
};

//   host 10.77.0.2, eth0 --- eth0, 10.77.0.1 modem 10.77.1.1, line --- eth0, 10.77.1.2 server
class ContentionLine {
public:
    static constexpr const char* media = "52.200.60.17"; // the server's addresses
    static constexpr const char* stranger = "198.51.100.7";
    static constexpr const char* local = "10.77.0.2"; // the host's

    // `mbit`: the modem's rate, each way. `rtt`: ms that a round trip takes on the idle line, all of it on the server's
    // side; 0: what the machine takes. Throws.
    explicit ContentionLine(double mbit, double rtt = 0);

    [[nodiscard]] const NetworkNamespace& host() const { return host_.host; }
    [[nodiscard]] const NetworkNamespace& server() const { return server_; }
    // Who sends and who receives in this direction, which is not Both.
    [[nodiscard]] const NetworkNamespace& sender(Direction direction) const {
        return direction == Direction::Uplink ? host() : server();
    }
    [[nodiscard]] const NetworkNamespace& receiver(Direction direction) const {
        return direction == Direction::Uplink ? server() : host();
    }

    // The agent with this queue. Empty: it stands. Else why it refused the kind; any other failure throws.
    [[nodiscard]] std::string enable(const AgentQueue& queue) const;
    void disable() const;
    // The modem's rate in this direction, or both, from now on; the FIFO keeps its bytes, and its room in bytes.
    void set_rate(Direction direction, double mbit) const;
    [[nodiscard]] const test::TestHost& agents_host() const { return host_; }

private:
    void in_server(const std::string& line) const;
    void in_modem(const std::string& line) const;

    void lay_wire(double rtt);

    double mbit_;
    test::TestHost host_; // its far end is the modem
    NetworkNamespace server_;
    std::optional<NetworkNamespace> between_; // the modem and the server, where a wire has to take time
    std::optional<DelayingWire> wire_;        // last: it ends first
};

// Whether this kernel has a queueing discipline; tried in a namespace of its own.
bool kernel_has_qdisc(const std::string& kind);

// A socket of the namespace bound to `local`, with room for whatever may wait in it. `type`: SOCK_DGRAM or SOCK_STREAM.
Fd roomy_socket(const NetworkNamespace& space, int type, const test::Endpoint& local);

} // namespace kudo::bench
