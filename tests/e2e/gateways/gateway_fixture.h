// SPDX-License-Identifier: MIT
// A host that forwards: clients in namespaces of their own behind it, KUDO's far side behind its eth0.
// Invariant: the clients reach the far side through the host and in no other way.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "tests/e2e/link_fixture.h"

namespace kudo::test {

//   client 0: eth0 192.168.1.2/24 -- lan0 192.168.1.1/24 of the host; client 1: 192.168.2.2 -- lan1 192.168.2.1
struct Client {
    NetworkNamespace space;
    std::string address; // of its eth0
    std::string port;    // the host's interface to it
};

class GatewayTest : public LineTest {
protected:
    void SetUp() override;

    // Two clients, each on a line of its own; the host forwards, without NAT.
    void put_clients();
    // The host gives what leaves by eth0 its own address.
    void masquerade() const;
    // br0 over eth0 with the host's address (put_bridge()), and a client in the host's network on a port of br0.
    void put_bridged_client();
    [[nodiscard]] const Client& client(std::size_t number) const { return *clients_.at(number); }
    static std::string in_client(const Client& client, const std::vector<std::string>& argv);

    // Sends the recorded audio (opus-20ms-32k) and video (vp8-30fps-60k) in turns from one socket. Then checks on the
    // far end that each packet came from `as` and has EF or AF41 as it must, and gives the number of packets.
    struct Bundle {
        uint64_t ef = 0, af41 = 0;
        uint16_t port = 0; // from which it came
        [[nodiscard]] uint64_t packets() const { return ef + af41; }
    };
    Bundle send_bundle(const NetworkNamespace& from, const Endpoint& local, const std::string& as) const;

    // What a class of a queue has sent, which is "audio" or "video" first of all, are these packets, or a few more:
    // ARP, IGMP and MLD are served first as well. `direction`: "egress" or "ingress".
    void expect_sent_by(const std::string& carries, uint64_t packets, const std::string& direction = "egress") const;

    // The interfaces of `status`, which must all be healthy.
    [[nodiscard]] std::vector<std::string> watched() const;

private:
    void add_client(const std::string& port, const std::string& address);
    std::vector<std::unique_ptr<Client>> clients_;
};

} // namespace kudo::test
