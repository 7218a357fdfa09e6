// SPDX-License-Identifier: MIT
// Addresses and prefixes: from text, to text, containment.
// Invariant: one value has one text, and parse(text()) gives the value back (IPv4-mapped prefixes excepted: refused).
#include "maps/net/prefix.h"

#include <algorithm>
#include <charconv>
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

tl::unexpected<Error> not_an_address(std::string_view text) {
    return bad_input(quoted_text(text) + " is not an IP address");
}

Result<Address> parse_ipv4(std::string_view text) {
    Address address;
    std::string_view rest = text;
    for (std::size_t part = 0; part < 4; ++part) {
        const std::size_t dot = rest.find('.');
        if ((dot == std::string_view::npos) != (part == 3)) return not_an_address(text);
        const std::string_view number = rest.substr(0, dot);
        const bool only_digits = std::ranges::all_of(number, [](char c) { return c >= '0' && c <= '9'; });
        if (number.size() > 1 && number.front() == '0' && only_digits)
            return bad_input(quoted_text(text) + " has a number with a leading zero; write plain decimal numbers");
        const auto value = decimal(number, 255);
        if (!value) return not_an_address(text);
        address.bytes[part] = static_cast<uint8_t>(*value);
        rest = part == 3 ? std::string_view{} : rest.substr(dot + 1);
    }
    return address;
}

Result<Address> parse_ipv6(std::string_view text) {
    if (text.find('%') != std::string_view::npos)
        return bad_input(quoted_text(text) + " has a zone id; a range map knows no interfaces");
    if (text.size() >= INET6_ADDRSTRLEN || text.find('\0') != std::string_view::npos) return not_an_address(text);
    Address address{.family = Family::IPv6};
    if (inet_pton(AF_INET6, std::string(text).c_str(), address.bytes.data()) != 1) return not_an_address(text);
    return address;
}

bool is_ipv4_mapped(const Address& address) {
    static constexpr std::array<uint8_t, 12> mapped{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
    return address.family == Family::IPv6 && std::equal(mapped.begin(), mapped.end(), address.bytes.begin());
}

std::string ipv4_text(const uint8_t* bytes) {
    return fmt::format("{}.{}.{}.{}", bytes[0], bytes[1], bytes[2], bytes[3]);
}

// RFC 5952: the longest run of at least two zero groups becomes "::", the first of equals; lower case. The mixed
// notation is used for IPv4-mapped addresses only.
std::string ipv6_text(const Address& address) {
    if (is_ipv4_mapped(address)) return "::ffff:" + ipv4_text(&address.bytes[12]);
    const auto group = [&](std::size_t i) { return address.bytes[2 * i] << 8 | address.bytes[2 * i + 1]; };
    std::size_t run_start = 8, run_length = 1;
    for (std::size_t i = 0; i < 8; ++i) {
        std::size_t end = i;
        while (end < 8 && group(end) == 0)
            ++end;
        if (end - i > run_length) {
            run_start = i;
            run_length = end - i;
        }
    }
    std::string text;
    for (std::size_t i = 0; i < 8; ++i) {
        if (i == run_start) {
            text += "::";
            i += run_length - 1;
            continue;
        }
        if (!text.empty() && text.back() != ':') text += ':';
        text += fmt::format("{:x}", group(i));
    }
    return text;
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
    return text.find(':') == std::string_view::npos ? parse_ipv4(text) : parse_ipv6(text);
}

std::string Address::text() const {
    return family == Family::IPv4 ? ipv4_text(bytes.data()) : ipv6_text(*this);
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
    if (is_ipv4_mapped(address) && length >= 96)
        return bad_input(fmt::format("{} is an IPv4-mapped IPv6 range, which no packet carries; write {}/{} as IPv4",
                                     quoted_text(text), ipv4_text(&address.bytes[12]), length - 96));
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
