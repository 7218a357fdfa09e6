// SPDX-License-Identifier: MIT
// What of this host the lifelines are made from: its name servers and default gateways.
// Invariant: nothing is sent to find out, and nobody is waited for.
#pragma once

#include <filesystem>
#include <string_view>
#include <vector>

#include "agent/lifelines/lifelines.h"

namespace kudo {

// Resolvers and gateways of this host and network namespace as they are now. What cannot be read is not there, and
// said.
LifelineFacts read_lifeline_facts();
// Only the resolvers, and what is said of them.
LifelineFacts read_resolvers();
// The files that they are read from.
std::vector<std::filesystem::path> resolver_files();

// The name servers of a resolv.conf(5), those on loopback included; zones ("%eth0") are cut off.
std::vector<Address> name_servers(std::string_view content);

} // namespace kudo
