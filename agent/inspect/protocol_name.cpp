// SPDX-License-Identifier: MIT
#include "agent/inspect/protocol_name.h"

#include <netinet/in.h>

#include <utility>

#include <fmt/format.h>

namespace kudo {

std::string protocol_name(uint8_t protocol) {
    constexpr std::pair<uint8_t, const char*> names[] = {
        {IPPROTO_TCP, "tcp"},   {IPPROTO_UDP, "udp"}, {IPPROTO_ICMP, "icmp"}, {IPPROTO_ICMPV6, "icmpv6"},
        {IPPROTO_SCTP, "sctp"}, {IPPROTO_ESP, "esp"}, {IPPROTO_GRE, "gre"},
    };
    for (const auto& [number, name] : names)
        if (number == protocol) return name;
    return fmt::format("{}", protocol);
}

} // namespace kudo
