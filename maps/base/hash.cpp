// SPDX-License-Identifier: MIT
#include "maps/base/hash.h"

#include "maps/base/text.h"

namespace kudo {

Blake2b::Blake2b() {
    [[maybe_unused]] const int ready = sodium_init(); // idempotent; picks the fast code
    crypto_generichash_init(&state_, nullptr, 0, std::tuple_size_v<Digest>);
}

void Blake2b::add(const void* bytes, std::size_t size) {
    crypto_generichash_update(&state_, static_cast<const unsigned char*>(bytes), size);
}

Blake2b::Digest Blake2b::digest() {
    Digest result{};
    crypto_generichash_final(&state_, result.data(), result.size());
    return result;
}

std::string content_hash(std::string_view bytes) {
    Blake2b hash;
    hash.add(bytes.data(), bytes.size());
    return hex(hash.digest());
}

} // namespace kudo
