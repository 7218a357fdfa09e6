// SPDX-License-Identifier: MIT
// Signatures in minisign's format (https://jedisct1.github.io/minisign/, "Signature format"): reading keys and signatures,
// verifying. Included by key sets and the commands.
// Invariant: only the prehashed kind is accepted: "ED", Ed25519 (RFC 8032) over BLAKE2b-512 of the document. The legacy
// "Ed" and signify's signatures, which can be forged across the formats, are refused; nothing is verified by halves: the
// trusted comment's signature must be right as well.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "maps/result.h"

namespace kudo {

struct PublicKey {
    std::array<uint8_t, 8> id{};
    std::array<uint8_t, 32> key{};

    [[nodiscard]] std::string text() const;    // one line of base64, as minisign prints it: "RW..."
    [[nodiscard]] std::string id_text() const; // as minisign prints it: 16 upper-case hexadecimal digits
    auto operator<=>(const PublicKey&) const = default;
};

// A key file (an untrusted comment, then the key), or the key's line alone. `name` is what errors call it.
Result<PublicKey> parse_public_key(std::string_view text, std::string_view name);

struct Signature {
    std::array<uint8_t, 8> key_id{};
    std::array<uint8_t, 64> signature{}; // of BLAKE2b-512 of the document
    std::string trusted_comment;         // without "trusted comment: "
    std::array<uint8_t, 64> global_signature{}; // of `signature` and the trusted comment
};

inline constexpr std::size_t signatures_max_bytes = 64 * 1024;

// One or more signature files, one behind the other: four lines each. Anything else is BadInput that says in which line
// and what was expected.
Result<std::vector<Signature>> parse_signatures(std::string_view text, std::string_view name);

// Is it this key's, and right, over these bytes, the trusted comment included?
bool is_signed_by(const Signature& signature, const PublicKey& key, std::string_view bytes);

} // namespace kudo
