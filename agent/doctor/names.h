// SPDX-License-Identifier: MIT
// Checks of DNS: the region's names by this host's own name servers, and whether programs ask elsewhere.
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "agent/doctor/check.h"
#include "agent/doctor/subject.h"
#include "agent/names/lookup.h"

namespace kudo {

struct NameAnswer {
    std::string name;
    std::vector<Address> ipv4{}, ipv6{};
    std::string problem{}; // why there is no IPv4 answer; empty: there is one, though perhaps without addresses
    Address server{};      // that answered
    std::chrono::microseconds took{}; // until the IPv4 answer
};
// All at once, with a thread for each, for at most about 4 s.
std::vector<NameAnswer> look_up_names(const std::vector<std::string>& names, const std::vector<NameServer>& servers);

// Is it no address of a server anywhere: unspecified, loopback, multicast? Name servers that block names answer so.
bool is_nowhere(const Address& address);

CheckReport judge_names(const std::vector<NameAnswer>& answers, const Subject& subject);

// Do programs of this host look names up where kudo-agent cannot see it: systemd-resolved over TLS, browsers whose
// policies force DNS over HTTPS? What a user has switched on in a browser is not looked at.
CheckReport check_encrypted_dns(const Subject& subject);

} // namespace kudo
