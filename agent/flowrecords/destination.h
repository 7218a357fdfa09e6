// SPDX-License-Identifier: MIT
// Where flow records go: "ipfix:tcp:collector.example.com:4739", "ipfix:udp:192.0.2.1:4739",
// "ipfix:tls:[2001:db8::1]:4740", "json:/var/log/kudo-agent/flows.json", "json:journal".
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "maps/base/result.h"

namespace kudo {

struct FlowDestination {
    enum class Kind { Tcp, Udp, Tls, File, Journal };
    Kind kind = Kind::File;
    std::string text{};           // as it was given
    std::string host{};           // of a collector: a name or an address, without brackets
    uint16_t port = 0;            // of a collector
    std::filesystem::path path{}; // of a file
    [[nodiscard]] bool is_collector() const { return kind <= Kind::Tls; }
};
// BadInput says what was expected.
Result<FlowDestination> parse_flow_destination(const std::string& text);

} // namespace kudo
