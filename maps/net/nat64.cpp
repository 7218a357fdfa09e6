// SPDX-License-Identifier: MIT
#include "maps/net/nat64.h"

#include <algorithm>

#include <fmt/format.h>

#include "maps/base/text.h"
#include "maps/net/special_addresses.h"

namespace kudo {
namespace {

constexpr std::size_t u_octet = 8; // bits 64 to 71, which are zero and no part of the IPv4 address

bool is_rfc6052_length(unsigned length) {
    return length == 96 || (length >= 32 && length <= 64 && length % 8 == 0);
}

// Where each octet of the IPv4 address is.
std::array<std::size_t, 4> octets_behind(unsigned nat64_length) {
    std::array<std::size_t, 4> places{};
    std::size_t place = nat64_length / 8;
    for (std::size_t& octet : places) {
        if (place == u_octet) place++;
        octet = place++;
    }
    return places;
}

// How many bits of an IPv6 prefix tell `ipv4_length` bits of the IPv4 address.
unsigned embedded_length(unsigned nat64_length, unsigned ipv4_length) {
    const unsigned end = nat64_length + ipv4_length;
    return nat64_length <= 64 && end > 64 ? end + 8 : end;
}

} // namespace

const Prefix& well_known_nat64_prefix() {
    static const Prefix prefix = Prefix::parse("64:ff9b::/96").value();
    return prefix;
}

Result<Prefix> parse_nat64_prefix(std::string_view text) {
    const Prefix prefix = KUDO_TRY(Prefix::parse(text));
    if (prefix.address.family != Family::IPv6 || !is_rfc6052_length(prefix.length))
        return bad_input(quoted_text(text) + " is no NAT64 prefix; write an IPv6 prefix of 32, 40, 48, 56, 64 or 96 "
                                             "bits, such as 64:ff9b::/96 (RFC 6052)");
    if (prefix.address.bytes[u_octet] != 0)
        return bad_input(quoted_text(text) + " is no NAT64 prefix: its bits 64 to 71 must be zero (RFC 6052)");
    const SpecialBlock* block = special_block_at(prefix);
    if (block && (block->what == "multicast" || block->what == "link-local") && block->prefix.contains(prefix))
        return bad_input(
            fmt::format("{} is no NAT64 prefix: {} addresses are not routed", quoted_text(text), block->what));
    return prefix;
}

Prefix embed(const Prefix& nat64, const Prefix& ipv4) {
    Prefix result{.address = nat64.address, .length = static_cast<uint8_t>(embedded_length(nat64.length, ipv4.length))};
    const auto places = octets_behind(nat64.length);
    for (std::size_t octet = 0; octet < places.size(); octet++)
        result.address.bytes[places[octet]] = ipv4.address.bytes[octet];
    return result;
}

std::optional<Prefix> extract(const Prefix& ipv6, std::span<const Prefix> nat64) {
    const auto behind = std::ranges::find_if(nat64, [&](const Prefix& prefix) { return prefix.contains(ipv6); });
    if (behind == nat64.end() || ipv6.address.bytes[u_octet] != 0) return std::nullopt;
    Prefix result;
    const auto places = octets_behind(behind->length);
    for (std::size_t octet = 0; octet < places.size(); octet++)
        result.address.bytes[octet] = ipv6.address.bytes[places[octet]];
    while (result.length < 32 && embedded_length(behind->length, result.length + 1U) <= ipv6.length)
        result.length++;
    return result;
}

std::optional<Address> extract(const Address& ipv6, std::span<const Prefix> nat64) {
    const auto ipv4 = extract(Prefix{.address = ipv6, .length = static_cast<uint8_t>(ipv6.bits())}, nat64);
    return ipv4 ? std::optional(ipv4->address) : std::nullopt;
}

} // namespace kudo
