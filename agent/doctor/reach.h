// SPDX-License-Identifier: MIT
// Is KUDO reached: STUN and TURN in the media ranges, TLS to the region's names.
// Invariant: an answer proves that the way is open both ways; silence proves nothing by itself, since an address in a
// range need not be a server's. What is blocked is said only where the same address answers by another way, or where
// somebody on the way has said so (ICMP, a reset).
#pragma once

#include <vector>

#include "agent/doctor/check.h"
#include "agent/doctor/examination.h"

namespace kudo {

// At most this many addresses are asked, spread evenly over the media ranges.
inline constexpr std::size_t max_media_addresses = 24, max_tls_addresses = 8;

// One address in each of as many ranges, or the servers that were named.
std::vector<Address> media_addresses(const Subject& subject);

// STUN Binding and TURN Allocate over UDP 3478.
CheckReport check_media_udp(Examination& examination);
// TURN Allocate over TCP 443, plainly and over TLS.
CheckReport check_media_tcp(Examination& examination);
// The mapped addresses that several servers have seen of one socket (RFC 4787 section 4.1).
CheckReport check_nat(Examination& examination);

CheckReport check_dns(Examination& examination);
// TLS to 443 of every exact name, with SNI and its certificate checked.
CheckReport check_region(Examination& examination);
// Is what answers there issued by a certificate authority that this host's administrator has added?
CheckReport check_inspection(Examination& examination);
// The ports of optional services (Microsoft Teams), with --teams.
CheckReport check_teams(Examination& examination);
// Where names have IPv6 addresses and this host has a route: do they answer?
CheckReport check_ipv6(Examination& examination);

} // namespace kudo
