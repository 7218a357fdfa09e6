// SPDX-License-Identifier: MIT
// Blocks of addresses that belong to no single host on the Internet: the IANA registries of special-purpose IPv4 and
// IPv6 addresses (RFC 6890), and multicast.
// Invariant: every block names its RFC.
#pragma once

#include <span>
#include <string_view>

#include "maps/net/prefix.h"

namespace kudo {

struct SpecialBlock {
    Prefix prefix;
    std::string_view what; // "private"
    std::string_view rfc;  // "RFC 1918"
};

std::span<const SpecialBlock> special_blocks();

// The block that the prefix lies in, the most specific one; else the first that lies in the prefix; else nothing.
const SpecialBlock* special_block_at(const Prefix& prefix);

} // namespace kudo
