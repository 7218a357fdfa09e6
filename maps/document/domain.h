// SPDX-License-Identifier: MIT
// Which domain names a range map may hold, and which names they match.
// Invariant: an accepted domain is canonical: lower case, no final dot; equal names are equal strings.
#pragma once

#include <cstdint>
#include <string_view>

#include "maps/base/result.h"

namespace kudo {

// "live.kudoway.ca" or "*.kudoway.ca": letters, digits, hyphens (RFC 1123), at least two labels below the wildcard,
// the last of them not a number.
Result<void> check_domain(std::string_view text);

// How specifically a domain of a map matches a name, both canonical. 0: no match; a longer wildcard is higher than a
// shorter one, the name itself higher than any. A wildcard matches everything below it, at any depth, and not itself.
std::size_t domain_fit(std::string_view domain, std::string_view name);

// The last two labels' hash as the kernel's programs have it (bpf/dns.h): the same for a domain and all its names.
uint64_t name_ending(std::string_view domain);

// What the kernel's programs find a domain by: kudo_domain_key() of bpf/domains.h.
uint64_t domain_key(std::string_view domain);

} // namespace kudo
