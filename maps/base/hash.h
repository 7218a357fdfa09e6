// SPDX-License-Identifier: MIT
// BLAKE2b-256 (RFC 7693), by which documents and compiled policies are told apart.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

#include <sodium.h>

namespace kudo {

class Blake2b {
public:
    using Digest = std::array<uint8_t, 32>;

    Blake2b();
    void add(const void* bytes, std::size_t size);
    // Once, after everything was added.
    Digest digest();

private:
    crypto_generichash_state state_;
};

// Of the bytes, in hex.
std::string content_hash(std::string_view bytes);

} // namespace kudo
