// SPDX-License-Identifier: MIT
// One port on KUDO's side that a service may use: "udp/3478".
// Invariant: parse(text()) gives the value back.
#pragma once

#include <compare>
#include <cstdint>
#include <string>
#include <string_view>

#include "maps/base/result.h"

namespace kudo {

struct PortRule {
    uint8_t protocol = 0;                   // IPPROTO_TCP or IPPROTO_UDP
    uint16_t port = 0;                      // on KUDO's side
    [[nodiscard]] std::string text() const; // "udp/3478"
    static Result<PortRule> parse(std::string_view text);
    auto operator<=>(const PortRule&) const = default;
};

} // namespace kudo
