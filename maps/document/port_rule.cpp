// SPDX-License-Identifier: MIT
#include "maps/document/port_rule.h"

#include <charconv>

#include <fmt/format.h>
#include <netinet/in.h>

#include "maps/base/text.h"

namespace kudo {

std::string PortRule::text() const {
    return fmt::format("{}/{}", protocol == IPPROTO_UDP ? "udp" : "tcp", port);
}

Result<PortRule> PortRule::parse(std::string_view text) {
    PortRule rule;
    if (text.starts_with("udp/"))
        rule.protocol = IPPROTO_UDP;
    else if (text.starts_with("tcp/"))
        rule.protocol = IPPROTO_TCP;
    const std::string_view digits = rule.protocol ? text.substr(4) : std::string_view{};
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), rule.port);
    const bool plain =
        !digits.empty() && digits.front() != '0' && error == std::errc{} && end == digits.data() + digits.size();
    if (!plain) return bad_input(quoted_text(text) + " is not a port; write udp/N or tcp/N with N from 1 to 65535");
    return rule;
}

} // namespace kudo
