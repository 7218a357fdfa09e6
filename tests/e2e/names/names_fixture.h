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
    // A lookup on the wire.
    void look_up(const std::string& name, const std::vector<std::string>& addresses) {
        std::vector<DnsRecord> records;
        for (const std::string& address : addresses)
            records.push_back({name, address});
        send_datagram(near_.get(), server_, dns_question(name, ++id_));
        receive_datagram(far_.get());
        send_datagram(far_.get(), {host_address, 41000}, dns_answer(name, records, id_));
        receive_datagram(near_.get());
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
