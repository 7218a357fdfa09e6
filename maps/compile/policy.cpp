// SPDX-License-Identifier: MIT
#include "maps/compile/policy.h"

#include <algorithm>

#include "maps/base/hash.h"

namespace kudo {
namespace {

template <typename Key>
const kudo_match* find_key(const std::vector<std::pair<Key, kudo_match>>& entries, const Key& key) {
    const auto place = std::lower_bound(entries.begin(), entries.end(), key,
                                        [](const auto& entry, const Key& k) { return key_less(entry.first, k); });
    return place != entries.end() && !key_less(key, place->first) ? &place->second : nullptr;
}

template <typename Key, typename Match> void add(Blake2b& hash, const std::vector<std::pair<Key, Match>>& entries) {
    const uint64_t count = entries.size();
    hash.add(&count, sizeof count);
    for (const auto& [key, match] : entries) {
        hash.add(&key, sizeof key);
        hash.add(&match, sizeof match);
    }
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

std::array<uint8_t, 32> policy_hash(const CompiledPolicy& compiled) {
    const auto copy = std::make_unique<kudo_policy>(*compiled.policy);
    copy->generation = 0;
    std::fill(std::begin(copy->content_hash), std::end(copy->content_hash), uint8_t{0});
    Blake2b hash;
    hash.add(copy.get(), sizeof *copy);
    add(hash, compiled.entries4);
    add(hash, compiled.entries6);
    add(hash, compiled.allow4);
    add(hash, compiled.allow6);
    return hash.digest();
}

} // namespace kudo
