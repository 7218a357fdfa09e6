// SPDX-License-Identifier: MIT
// The table of special blocks.
// Invariant: every block of https://www.iana.org/assignments/iana-ipv4-special-registry and
// https://www.iana.org/assignments/iana-ipv6-special-registry, as of 2025; what is not in them comes last in its
// family.
#include "maps/net/special_addresses.h"

#include <vector>

namespace kudo {
namespace {

struct Row {
    const char* address;
    unsigned length;
    std::string_view what, rfc;
};

constexpr Row rows[] = {
    {"0.0.0.0", 8, "\"this network\"", "RFC 791"},
    {"0.0.0.0", 32, "\"this host\"", "RFC 1122"},
    {"10.0.0.0", 8, "private", "RFC 1918"},
    {"100.64.0.0", 10, "shared address space (carrier-grade NAT)", "RFC 6598"},
    {"127.0.0.0", 8, "loopback", "RFC 1122"},
    {"169.254.0.0", 16, "link-local", "RFC 3927"},
    {"172.16.0.0", 12, "private", "RFC 1918"},
    {"192.0.0.0", 24, "for IETF protocol assignments", "RFC 6890"},
    {"192.0.0.0", 29, "for IPv4 service continuity", "RFC 7335"},
    {"192.0.0.8", 32, "the IPv4 dummy address", "RFC 7600"},
    {"192.0.0.9", 32, "Port Control Protocol anycast", "RFC 7723"},
    {"192.0.0.10", 32, "TURN anycast", "RFC 8155"},
    {"192.0.0.170", 32, "for NAT64 and DNS64 discovery", "RFC 8880"},
    {"192.0.0.171", 32, "for NAT64 and DNS64 discovery", "RFC 8880"},
    {"192.0.2.0", 24, "for documentation", "RFC 5737"},
    {"192.31.196.0", 24, "AS112", "RFC 7535"},
    {"192.52.193.0", 24, "for automatic multicast tunnelling", "RFC 7450"},
    {"192.88.99.0", 24, "formerly 6to4 relay anycast", "RFC 7526"},
    {"192.88.99.2", 32, "6a44 relay anycast", "RFC 6751"},
    {"192.168.0.0", 16, "private", "RFC 1918"},
    {"192.175.48.0", 24, "AS112", "RFC 7534"},
    {"198.18.0.0", 15, "for benchmarking", "RFC 2544"},
    {"198.51.100.0", 24, "for documentation", "RFC 5737"},
    {"203.0.113.0", 24, "for documentation", "RFC 5737"},
    {"240.0.0.0", 4, "reserved", "RFC 1112"},
    {"255.255.255.255", 32, "broadcast", "RFC 919"},
    {"224.0.0.0", 4, "multicast", "RFC 5771"}, // not in the registry

    {"::1", 128, "loopback", "RFC 4291"},
    {"::", 128, "the unspecified address", "RFC 4291"},
    {"::ffff:0:0", 96, "IPv4-mapped", "RFC 4291"},
    {"64:ff9b::", 96, "for IPv4-IPv6 translation", "RFC 6052"},
    {"64:ff9b:1::", 48, "for IPv4-IPv6 translation", "RFC 8215"},
    {"100::", 64, "discard-only", "RFC 6666"},
    {"100:0:0:1::", 64, "the dummy IPv6 prefix", "RFC 9780"},
    {"2001::", 23, "for IETF protocol assignments", "RFC 2928"},
    {"2001::", 32, "Teredo", "RFC 4380"},
    {"2001:1::1", 128, "Port Control Protocol anycast", "RFC 7723"},
    {"2001:1::2", 128, "TURN anycast", "RFC 8155"},
    {"2001:1::3", 128, "DNS-SD registration anycast", "RFC 9665"},
    {"2001:2::", 48, "for benchmarking", "RFC 5180"},
    {"2001:3::", 32, "for automatic multicast tunnelling", "RFC 7450"},
    {"2001:4:112::", 48, "AS112", "RFC 7535"},
    {"2001:10::", 28, "for ORCHID, deprecated", "RFC 4843"},
    {"2001:20::", 28, "for ORCHIDv2", "RFC 7343"},
    {"2001:30::", 28, "for drone remote identification", "RFC 9374"},
    {"2001:db8::", 32, "for documentation", "RFC 3849"},
    {"2002::", 16, "6to4", "RFC 3056"},
    {"2620:4f:8000::", 48, "AS112", "RFC 7534"},
    {"3fff::", 20, "for documentation", "RFC 9637"},
    {"5f00::", 16, "for SRv6 segment identifiers", "RFC 9602"},
    {"fc00::", 7, "private", "RFC 4193"},
    {"fe80::", 10, "link-local", "RFC 4291"},
    {"fec0::", 10, "site-local, deprecated", "RFC 3879"}, // not in the registry
    {"ff00::", 8, "multicast", "RFC 4291"},               // not in the registry
};

} // namespace

std::span<const SpecialBlock> special_blocks() {
    static const std::vector<SpecialBlock> blocks = [] {
        std::vector<SpecialBlock> result;
        // Not Prefix::parse(), which refuses IPv4-mapped ranges.
        for (const Row& row : rows)
            result.push_back({prefix_of(Address::parse(row.address).value(), row.length), row.what, row.rfc});
        return result;
    }();
    return blocks;
}

const SpecialBlock* special_block_at(const Prefix& prefix) {
    const SpecialBlock* around = nullptr;
    const SpecialBlock* inside = nullptr;
    for (const SpecialBlock& block : special_blocks()) {
        if (block.prefix.contains(prefix)) {
            if (!around || block.prefix.length > around->prefix.length) around = &block;
        } else if (!inside && prefix.contains(block.prefix)) {
            inside = &block;
        }
    }
    return around ? around : inside;
}

} // namespace kudo
