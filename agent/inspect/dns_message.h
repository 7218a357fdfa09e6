// SPDX-License-Identifier: MIT
// A DNS response in wire format (RFC 1035), parsed with ldns.
// Invariant: whatever the bytes are, nothing is read beyond them, only what they hold is returned, and the work is
// bounded: other sections than the answers are not parsed.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "maps/net/prefix.h"

namespace kudo {

struct DnsAnswer {
    std::string name;               // that was asked for: lower case, no final dot
    std::vector<Address> addresses; // its own, or of what it is an alias for (CNAME); in the message's order
    std::vector<uint32_t> ttls{};   // of each of them, or of an alias that has less; in seconds, as RFC 2181 section 8
};

inline constexpr std::size_t max_dns_records = 80; // as the programs look at: bpf/dns_answer.h

// Nothing: no whole message, more answers than `max_records`, or not one question in class IN whose name is made of
// letters, digits, hyphens and underscores.
std::optional<DnsAnswer> read_dns_answer(std::span<const uint8_t> message, std::size_t max_records = max_dns_records);

} // namespace kudo
