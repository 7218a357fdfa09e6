// SPDX-License-Identifier: MIT
// Signatures in minisign's format (https://jedisct1.github.io/minisign/, "Signature format"): reading, verifying.
// Invariant: only the prehashed kind is accepted: "ED", Ed25519 (RFC 8032) over BLAKE2b-512 of the document; a
// signature is valid only if that of its trusted comment is valid as well.
//
// Legacy signatures ("Ed", of minisign -l and of signify) are Ed25519 over the document itself, keys of both kinds look
// the same, and no signature covers the two letters. So what one key signed in one format can be presented as the
// other:
// - "ED" relabelled "Ed" is a valid legacy signature of the file that holds the document's digest. Refused: by "Ed".
// - "Ed" of a file that holds a digest, relabelled "ED", is a valid prehashed signature of the document with that
// digest.
//   The bytes are those of a genuine one, so no verifier can tell. One signature of signify is refused all the same: it
//   has no trusted comment, and the comment's signature takes a second file that begins with the first one's signature.
//   minisign -l signs both at once. That is refused where it shows: since 0.10 minisign ends its own trusted comment
//   with "hashed" exactly when it hashed, so one in its form without the word is refused (also of minisign 0.9 -H). It
//   does not show in a comment of the signer's own (-t), nor of a file named "x<tab>hashed". What prevents it there is
//   only this: whoever holds a key for range maps signs nothing with signify or -l.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "maps/base/result.h"

namespace kudo {

struct PublicKey {
    std::array<uint8_t, 8> id{};
    std::array<uint8_t, 32> key{};

    [[nodiscard]] std::string text() const;    // one line of base64, as minisign prints it: "RW..."
    [[nodiscard]] std::string id_text() const; // as minisign prints it: 16 upper-case hexadecimal digits
    auto operator<=>(const PublicKey&) const = default;
};

// A key file (an untrusted comment, then the key), or the key's line alone. `name` is what errors call it. Errors never
// quote the key's line: somebody may have given the secret key. Lines end in LF or CR LF, as for minisign; the last may
// have no end.
Result<PublicKey> parse_public_key(std::string_view text, std::string_view name);

struct Signature {
    std::array<uint8_t, 8> key_id{};
    std::array<uint8_t, 64> signature{};        // of BLAKE2b-512 of the document
    std::string trusted_comment;                // without "trusted comment: "; no control characters but tabs
    std::array<uint8_t, 64> global_signature{}; // of `signature` and the trusted comment
};

// A key's id as minisign prints it.
std::string id_text(const std::array<uint8_t, 8>& key_id);

inline constexpr std::size_t signatures_max_bytes = 64 * 1024;

// One or more concatenated signature files: four lines each, and nothing else, where minisign ignores what
// follows. Anything else is BadInput that says in which line and what was expected.
Result<std::vector<Signature>> parse_signatures(std::string_view text, std::string_view name);

// Is it a valid signature by this key over these bytes, the trusted comment included?
bool is_signed_by(const Signature& signature, const PublicKey& key, std::string_view bytes);

} // namespace kudo
