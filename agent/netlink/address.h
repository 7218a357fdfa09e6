// SPDX-License-Identifier: MIT
// An IP address in a netlink attribute.
#pragma once

#include <netlink/attr.h>
#include <sys/socket.h>

#include <cstring>
#include <optional>

#include "maps/net/prefix.h"

namespace kudo {

// Nothing: neither IPv4 nor IPv6, or cut short.
inline std::optional<Address> address_of(uint8_t family, const nlattr* attribute) {
    if (family != AF_INET && family != AF_INET6) return std::nullopt;
    Address address{.family = family == AF_INET ? Family::IPv4 : Family::IPv6};
    const std::size_t size = address.bits() / 8;
    if (!attribute || static_cast<std::size_t>(nla_len(attribute)) < size) return std::nullopt;
    std::memcpy(address.bytes.data(), nla_data(attribute), size);
    return address;
}

} // namespace kudo
