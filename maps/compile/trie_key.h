// SPDX-License-Identifier: MIT
// Prefixes as the kernel's LPM-trie keys, and the order of keys.
// Invariant: keys sort as their prefixes do: by address, then by length.
#pragma once

#include <algorithm>
#include <cstring>

#include "bpf/abi.h"
#include "maps/net/prefix.h"

namespace kudo {

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

} // namespace kudo
