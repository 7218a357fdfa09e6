// SPDX-License-Identifier: MIT
// One generation's policy as the kernel's programs read it, compiled from a range map: compile.h.
// Invariant: the entries are sorted by address, then length, and their keys are distinct.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "bpf/abi.h"
#include "maps/net/prefix.h"

namespace kudo {

// Which slot of kudo_policy.services a service's name has. Slots stay with their names across generations so that
// counters keep their meaning: see service_slots.h.
using ServiceSlots = std::map<std::string, uint8_t, std::less<>>;
struct CompiledPolicy {
    std::unique_ptr<kudo_policy> policy; // generation 0: the swap gives it one
    std::vector<std::pair<kudo_lpm4_key, kudo_match>> entries4;
    std::vector<std::pair<kudo_lpm6_key, kudo_match>> entries6;
    std::vector<std::pair<kudo_lpm4_key, kudo_allow_match>> allow4; // allow rules and lifelines
    std::vector<std::pair<kudo_lpm6_key, kudo_allow_match>> allow6;
    ServiceSlots slots; // the given ones plus those given to new names, less those taken from old ones
};

// Prefixes as the kernel's trie keys. They sort as their prefixes do: by address, then by length.
inline kudo_lpm4_key key4(const Prefix& prefix) {
    kudo_lpm4_key key{.prefix_length = prefix.length, .address = 0};
    std::memcpy(&key.address, prefix.address.bytes.data(), sizeof key.address);
    return key;
}

inline kudo_lpm6_key key6(const Prefix& prefix) {
    kudo_lpm6_key key{.prefix_length = prefix.length, .address = {}};
    std::copy(prefix.address.bytes.begin(), prefix.address.bytes.end(), key.address);
    return key;
}

template <typename Key> bool key_less(const Key& a, const Key& b) {
    const int order = std::memcmp(&a.address, &b.address, sizeof a.address);
    return order != 0 ? order < 0 : a.prefix_length < b.prefix_length;
}

// BLAKE2b-256 over the policy (generation and content_hash taken as zero) and the entry lists. compile() has stored it.
std::array<uint8_t, 32> policy_hash(const CompiledPolicy& compiled);

// The match that the trie would give: the longest of the entries that holds the address; null if none.
// A plain linear or binary search: the oracle that the kernel's trie is checked against, and what `explain` uses.
const kudo_match* longest_match(const CompiledPolicy& policy, const Address& address);

} // namespace kudo
