// SPDX-License-Identifier: MIT
// An IP address or prefix, IPv4 or IPv6, as value and as text.
// Invariant: a Prefix that parse() returned has no host bits set.
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "maps/base/result.h"

namespace kudo {

enum class Family : uint8_t { IPv4 = 4, IPv6 = 6 };

struct Address {
    Family family = Family::IPv4;
    std::array<uint8_t, 16> bytes{}; // network order; IPv4 uses the first four, the rest is zero

    // From 4 or 16 bytes in network order.
    static Address from_bytes(Family family, const void* bytes);
    // Dotted quad or RFC 4291 text; no zone, no prefix length.
    static Result<Address> parse(std::string_view text);
    [[nodiscard]] std::string text() const; // RFC 5952 for IPv6
    [[nodiscard]] unsigned bits() const { return family == Family::IPv4 ? 32 : 128; }
    auto operator<=>(const Address&) const = default;
};

// "1.2.3.4:443", "[2001:db8::1]:443" (RFC 5952 section 6); without a port (0) "1.2.3.4"
std::string endpoint_text(const Address& address, uint16_t port);

struct Prefix {
    Address address;    // host bits are zero
    uint8_t length = 0; // in bits

    // "a.b.c.d/n", "x::/n", or a bare address, which is a prefix of full length. Host bits set are an error that
    // names the canonical form.
    static Result<Prefix> parse(std::string_view text);
    [[nodiscard]] std::string text() const; // always with "/n"
    [[nodiscard]] bool contains(const Address& other) const;
    [[nodiscard]] bool contains(const Prefix& other) const;
    auto operator<=>(const Prefix&) const = default;
};

// The IPv4 address in an IPv4-mapped IPv6 address (RFC 4291 section 2.5.5.2), which is how sockets and `ss` show IPv4
// to programs that only know IPv6.
std::optional<Address> ipv4_of_mapped(const Address& address);

// The prefix of `length` bits that holds `address`.
Prefix prefix_of(const Address& address, unsigned length);

} // namespace kudo
