// SPDX-License-Identifier: MIT
// Addresses and prefixes: from text, to text, containment.
// Invariant: one value has one text, and parse(text()) gives the value back (IPv4-mapped prefixes excepted: refused).
#include "maps/net/prefix.h"

#include <algorithm>
#include <charconv>
#include <cstring>
#include <optional>

#include <arpa/inet.h>
#include <fmt/format.h>

#include "maps/base/text.h"

namespace kudo {
namespace {

// A decimal number without sign, without leading zeros, at most `limit`.
std::optional<unsigned> decimal(std::string_view text, unsigned limit) {
    if (text.empty() || text.size() > 3 || (text.size() > 1 && text.front() == '0')) return std::nullopt;
    unsigned value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc{} || end != text.data() + text.size() || value > limit) return std::nullopt;
    return value;
}

bool has_leading_zero(std::string_view dotted) {
    const auto is_digit = [&](std::size_t at) { return at < dotted.size() && dotted[at] >= '0' && dotted[at] <= '9'; };
    for (std::size_t at = 0; at < dotted.size(); ++at)
        if (dotted[at] == '0' && is_digit(at + 1) && (at == 0 || dotted[at - 1] == '.')) return true;
    return false;
}

bool same_bits(const Address& a, const Address& b, unsigned length) {
    const std::size_t whole = length / 8;
    if (a.family != b.family || !std::equal(a.bytes.begin(), a.bytes.begin() + whole, b.bytes.begin())) return false;
    return length % 8 == 0 || (a.bytes[whole] ^ b.bytes[whole]) >> (8 - length % 8) == 0;
}

} // namespace

Result<Address> Address::parse(std::string_view text) {
    if (text.find('/') != std::string_view::npos)
        return bad_input(quoted_text(text) + " has a prefix length; write a bare address");
    const bool ipv4 = text.find(':') == std::string_view::npos;
    if (!ipv4 && text.find('%') != std::string_view::npos)
        return bad_input(quoted_text(text) + " has a zone id; a range map knows no interfaces");
    Address address{.family = ipv4 ? Family::IPv4 : Family::IPv6};
    const bool fits = text.size() < INET6_ADDRSTRLEN && text.find('\0') == std::string_view::npos;
    if (fits && inet_pton(ipv4 ? AF_INET : AF_INET6, std::string(text).c_str(), address.bytes.data()) == 1)
        return address;
    if (ipv4 && has_leading_zero(text))
        return bad_input(quoted_text(text) + " has a number with a leading zero; write plain decimal numbers");
    return bad_input(quoted_text(text) + " is not an IP address");
}

Address Address::from_bytes(Family family, const void* bytes) {
    Address address{.family = family};
    std::memcpy(address.bytes.data(), bytes, address.bits() / 8);
    return address;
}

std::string endpoint_text(const Address& address, uint16_t port) {
    if (port == 0) return address.text();
    return address.family == Family::IPv6 ? fmt::format("[{}]:{}", address.text(), port)
                                          : fmt::format("{}:{}", address.text(), port);
}

std::string Address::text() const {
    // glibc writes it as an IPv4-compatible address, "::0.1.0.2", which RFC 5952 section 5 does not.
    if (family == Family::IPv6 && (bytes[12] | bytes[13]) != 0 && same_bits(*this, {.family = family}, 96))
        return fmt::format("::{:x}:{:x}", bytes[12] << 8 | bytes[13], bytes[14] << 8 | bytes[15]);
    char text[INET6_ADDRSTRLEN];
    inet_ntop(family == Family::IPv4 ? AF_INET : AF_INET6, bytes.data(), text, sizeof text);
    return text;
}

Result<Prefix> Prefix::parse(std::string_view text) {
    const std::size_t slash = text.find('/');
    const auto address = KUDO_TRY(Address::parse(text.substr(0, slash)));
    unsigned length = address.bits();
    if (slash != std::string_view::npos) {
        const auto given = decimal(text.substr(slash + 1), address.bits());
        if (!given)
            return bad_input(fmt::format("{} has a bad prefix length; write a number from 0 to {} after the slash",
                                         quoted_text(text), address.bits()));
        length = *given;
    }
    if (const auto ipv4 = ipv4_of_mapped(address); ipv4 && length >= 96)
        return bad_input(fmt::format("{} is an IPv4-mapped IPv6 range, which no packet carries; write {}/{} as IPv4",
                                     quoted_text(text), ipv4->text(), length - 96));
    const Prefix canonical = prefix_of(address, length);
    if (canonical.address != address)
        return bad_input(quoted_text(text) + " has host bits set; write " + canonical.text());
    return canonical;
}

std::string Prefix::text() const {
    return fmt::format("{}/{}", address.text(), length);
}

bool Prefix::contains(const Address& other) const {
    return same_bits(address, other, length);
}

bool Prefix::contains(const Prefix& other) const {
    return other.length >= length && contains(other.address);
}

std::optional<Address> ipv4_of_mapped(const Address& address) {
    static constexpr std::array<uint8_t, 12> mapped{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
    if (address.family != Family::IPv6 || !std::equal(mapped.begin(), mapped.end(), address.bytes.begin()))
        return std::nullopt;
    Address result;
    std::copy_n(address.bytes.begin() + mapped.size(), 4, result.bytes.begin());
    return result;
}

Prefix prefix_of(const Address& address, unsigned length) {
    Prefix prefix{.address = address, .length = static_cast<uint8_t>(std::min(length, address.bits()))};
    for (unsigned bit = prefix.length; bit < 128; bit = (bit / 8 + 1) * 8)
        prefix.address.bytes[bit / 8] &= static_cast<uint8_t>(0xff00u >> (bit % 8));
    return prefix;
}

} // namespace kudo
