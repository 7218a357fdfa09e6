// SPDX-License-Identifier: MIT
// Turns overlapping ranges of several services into trie entries that need one lookup.
// Invariant: the longest entry that holds an address lists every service whose ranges hold it, most specific first.
#pragma once

#include <span>
#include <vector>

#include "maps/document/range_map.h"

namespace kudo {

struct SlottedService {
    const Service* service;
    uint8_t slot;
};

struct TrieEntry {
    Prefix prefix;
    kudo_match match;
    bool outermost; // no other entry contains it
};

// Distinct prefixes, sorted: IPv4 first, then by address and length. Of services with the same range the document's
// order decides. Time is that of a sort.
// `nat64`: behind each of these IPv6 prefixes there are the IPv4 ranges once more.
Result<std::vector<TrieEntry>> trie_entries(std::span<const SlottedService> services,
                                            std::span<const Prefix> nat64 = {});

} // namespace kudo
