// SPDX-License-Identifier: MIT
// A host on a quiet line, whose DNS lookups the test answers itself.
// Invariant: a lookup returns once this host has the response.
#pragma once

#include "tests/e2e/link_fixture.h"

#include <optional>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "tests/support/dns_message.h"

namespace kudo::test {

// A lookup on the wire, from one socket of this host to one of the server's.
inline void look_up_between(int near, const Endpoint& host, int far, const Endpoint& server, const std::string& name,
                            const std::vector<std::string>& addresses, uint16_t id) {
    std::vector<DnsRecord> records;
    for (const std::string& address : addresses)
        records.push_back({name, address});
    send_datagram(near, server, dns_question(name, id));
    receive_datagram(far);
    send_datagram(far, host, dns_answer(name, records, id));
    receive_datagram(near);
}

class Names : public LineTest {
protected:
    void SetUp() override {
        LineTest::SetUp();
        if (IsSkipped()) return;
        quieten();
        near_ = udp_socket(test_->host, {host_address, 41000});
        far_ = udp_socket(test_->far, server_);
        sender_.emplace(test_->host, "eth0");
    }
    void look_up(const std::string& name, const std::vector<std::string>& addresses) {
        look_up_between(near_.get(), {host_address, 41000}, far_.get(), server_, name, addresses, ++id_);
    }
    void send_syn(const std::string& address, uint16_t port, uint16_t from = 50000) const {
        const Packet packet = Ethernet{} / IPv4{.source = host_address, .destination = address} /
                              Tcp{.source_port = from, .destination_port = port, .flags = 0x02};
        sender_->send(packet.bytes());
    }
    [[nodiscard]] nlohmann::json stats(const std::vector<std::string>& more = {}) const {
        std::vector<std::string> words{"stats", "--json"};
        words.insert(words.end(), more.begin(), more.end());
        return nlohmann::json::parse(test_->agent(words).out);
    }
    [[nodiscard]] uint64_t counted(const char* reason) const {
        return stats().at("reasons").at(reason).at("egress").at("packets");
    }
    // In no range of the map, whatever the number is.
    static std::string address_of_number(unsigned i) {
        return fmt::format("25.{}.{}.{}", i >> 16 & 255, i >> 8 & 255, i & 255);
    }

    const Endpoint server_{stranger_address, KUDO_DNS_PORT};
    Fd near_, far_;
    std::optional<FrameSender> sender_;
    uint16_t id_ = 0;
};

} // namespace kudo::test
