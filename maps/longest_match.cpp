// SPDX-License-Identifier: MIT
// Looks an address up in a compiled policy as the kernel's trie does. Used by `explain` and the parity tests.
// Invariant: changes nothing; the answer lives as long as the policy.
#include "maps/compile.h"
#include "maps/trie_key.h"

namespace kudo {
namespace {

template <typename Key>
const kudo_match* find_key(const std::vector<std::pair<Key, kudo_match>>& entries, const Key& key) {
    const auto place = std::lower_bound(entries.begin(), entries.end(), key,
                                        [](const auto& entry, const Key& k) { return key_less(entry.first, k); });
    return place != entries.end() && !key_less(key, place->first) ? &place->second : nullptr;
}

} // namespace

const kudo_match* longest_match(const CompiledPolicy& policy, const Address& address) {
    for (unsigned length = address.bits() + 1; length-- > 0;) {
        const Prefix prefix = prefix_of(address, length);
        const kudo_match* match = address.family == Family::IPv4 ? find_key(policy.entries4, key4(prefix))
                                                                 : find_key(policy.entries6, key6(prefix));
        if (match) return match;
    }
    return nullptr;
}

} // namespace kudo
