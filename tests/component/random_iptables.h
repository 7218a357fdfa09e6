// SPDX-License-Identifier: MIT
// Random rules of iptables that a given flow of IPv4 meets, as iptables-restore takes them.
// Invariant: the same seed gives the same rules.
#pragma once

#include <cstdint>
#include <string>

#include "agent/firewall/packet_facts.h"

namespace kudo::test {

std::string random_iptables(uint64_t seed, const PacketFacts& facts);

} // namespace kudo::test
