// SPDX-License-Identifier: MIT
// BLAKE2b-256 of documents and of compiled policies. Used to tell maps and generations apart.
// Invariant: a policy's hash depends on every byte of it but its generation and the hash itself.
#include <algorithm>

#include <sodium.h>

#include "maps/compile.h"
#include "maps/text.h"

namespace kudo {
namespace {

using Digest = std::array<uint8_t, 32>;

class Blake2b {
public:
    Blake2b() {
        [[maybe_unused]] const int ready = sodium_init(); // idempotent; picks the fast code
        crypto_generichash_init(&state_, nullptr, 0, std::tuple_size_v<Digest>);
    }
    void add(const void* bytes, std::size_t size) {
        crypto_generichash_update(&state_, static_cast<const unsigned char*>(bytes), size);
    }
    template <typename Key> void add(const std::vector<std::pair<Key, kudo_match>>& entries) {
        const uint64_t count = entries.size();
        add(&count, sizeof count);
        for (const auto& [key, match] : entries) {
            add(&key, sizeof key);
            add(&match, sizeof match);
        }
    }
    Digest digest() {
        Digest result{};
        crypto_generichash_final(&state_, result.data(), result.size());
        return result;
    }

private:
    crypto_generichash_state state_;
};

} // namespace

std::string content_hash(std::string_view bytes) {
    Blake2b hash;
    hash.add(bytes.data(), bytes.size());
    return hex(hash.digest());
}

std::array<uint8_t, 32> policy_hash(const kudo_policy& policy,
                                    const std::vector<std::pair<kudo_lpm4_key, kudo_match>>& entries4,
                                    const std::vector<std::pair<kudo_lpm6_key, kudo_match>>& entries6) {
    const auto copy = std::make_unique<kudo_policy>(policy);
    copy->generation = 0;
    std::fill(std::begin(copy->content_hash), std::end(copy->content_hash), uint8_t{0});
    Blake2b hash;
    hash.add(copy.get(), sizeof *copy);
    hash.add(entries4);
    hash.add(entries6);
    return hash.digest();
}

} // namespace kudo
