// SPDX-License-Identifier: MIT
// Guards against disaster: what a range map may not do to a host unless the map says that its signer intends it.
// Invariant: pure functions; a map without violations cannot take addresses that are certainly not KUDO's, nor withdraw
// most of KUDO's.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "maps/document/range_map.h"

namespace kudo {

enum class Guard {
    WidePrefix,     // "wide-prefix": shorter than /8 (IPv4) or /19 (IPv6)
    SpecialAddress, // "special-address": private, loopback, link-local, multicast and the like: special_addresses.h
    OwnAddress,     // "own-address": holds an address of this host
    Shrink,         // "shrink": more than 30 % of the ranges gone
    SerialLeap,     // "serial-leap": so far ahead that a digit too many is more likely: it would lock out later maps
};
std::string_view guard_name(Guard guard);
std::optional<Guard> guard_of(std::string_view name);
// "wide-prefix, special-address, ... or serial-leap"
std::string guard_names_text();

struct Violation {
    Guard guard;
    std::string message; // "services[0].ipv4[3]: 10.0.0.0/8 is private (RFC 1918)"
};

// All violations that `map.overrides` does not allow, in document order, "shrink" and "serial-leap" last; at most 10 of
// each guard, one of each for a range. `previous`: the map that would be replaced. What is counted is each service's
// distinct ranges. Those are gone that the same service of the new map does not cover completely, with one range or
// several. A serial leaps that follows `highest`, the highest that was accepted (0: that of `previous`), if that is a
// date and a number, YYYYMMDDNN: when it lies more than two years after the map's own `issued` or, if that is yet to
// come, after `now`, or after `previous` was issued if that is later; else when it is more than ten times as high; and
// always above 2^62. A clock that says less than the built-in map's `issued` is wrong, and does not count.
std::vector<Violation> find_violations(const RangeMap& map, const RangeMap& previous,
                                       std::span<const Address> own_addresses, Time now, uint64_t highest = 0);

// What is wrong with a document of this name, at most `most` of it, and how its signer says that it is intended. There
// is at least one violation.
std::string violations_text(std::string_view name, std::span<const Violation> violations, std::size_t most);

} // namespace kudo
