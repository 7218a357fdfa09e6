// SPDX-License-Identifier: MIT
// IPv4 behind a NAT64: the IPv6 addresses that hold IPv4 addresses (RFC 6052 section 2.2).
// Invariant: extract() gives back what embed() was given.
#pragma once

#include <optional>
#include <span>
#include <string_view>

#include "maps/net/prefix.h"

namespace kudo {

// 64:ff9b::/96, the prefix of every NAT64 that has no other.
const Prefix& well_known_nat64_prefix();

// A prefix of 32, 40, 48, 56, 64 or 96 bits whose bits 64 to 71 are zero, as RFC 6052 has them.
Result<Prefix> parse_nat64_prefix(std::string_view text);

// The IPv6 addresses that stand for those of an IPv4 prefix.
Prefix embed(const Prefix& nat64, const Prefix& ipv4);

// The IPv4 prefix that an IPv6 prefix stands for, behind the first of the NAT64 prefixes that holds it.
std::optional<Prefix> extract(const Prefix& ipv6, std::span<const Prefix> nat64);
std::optional<Address> extract(const Address& ipv6, std::span<const Prefix> nat64);

} // namespace kudo
