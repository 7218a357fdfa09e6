// SPDX-License-Identifier: MIT
// Random rulesets of nftables that a given flow meets: sets, intervals, maps, verdict maps, concatenations, jumps,
// gotos, limits, conntrack states, marks, policies, several tables, chains and priorities.
// Invariant: the same seed gives the same ruleset.
#pragma once

#include <random>
#include <string>
#include <vector>

#include "agent/firewall/packet_facts.h"

namespace kudo::test {

class RandomRuleset {
public:
    RandomRuleset(uint64_t seed, const PacketFacts& facts) : random_(seed), facts_(facts) {}
    std::string text(); // for nft -f

private:
    unsigned number(unsigned below) { return static_cast<unsigned>(random_() % below); }
    bool chance(unsigned percent) { return number(100) < percent; }
    const char* pick(std::initializer_list<const char*> list) {
        return *(list.begin() + number(static_cast<unsigned>(list.size())));
    }
    std::string table(unsigned index);
    std::string device_table();
    std::string nat_table();
    std::string base_chain(unsigned index, unsigned chains);
    std::string rule(unsigned chain, unsigned chains);
    std::string condition();
    std::string verdict(unsigned chain, unsigned chains);
    std::string verdict_map(unsigned chain, unsigned chains);
    std::string address_value(bool source);
    std::string port_value(bool source);
    std::string some_address(bool source);
    std::string some_port(bool source);
    std::string target(unsigned chain, unsigned chains);

    std::mt19937_64 random_;
    PacketFacts facts_;
};

} // namespace kudo::test
