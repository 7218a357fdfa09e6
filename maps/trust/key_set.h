// SPDX-License-Identifier: MIT
// Whose signatures count, how many are needed, and how that changes.
// Invariant: a document counts as signed only if `threshold` different keys of the set have signed its bytes; a key set
// is followed only by one that the old and the new keys have signed.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "maps/base/result.h"
#include "maps/trust/minisign.h"

namespace kudo {

inline constexpr std::string_view key_set_format = "kudo-key-set/1";
inline constexpr std::size_t key_set_max_keys = 64;

struct KeySet {
    std::vector<PublicKey> keys; // distinct, sorted; may be empty: then nothing is ever signed
    unsigned threshold = 1;      // 1 to the number of keys
    uint64_t serial = 0;         // 0: the admin's own folder of keys
};

// The document: {"format": "kudo-key-set/1", "serial": 7, "threshold": 2, "keys": ["RW...", ...]}. Refused whole if any
// part of it is wrong: no keys, a key or key id twice, a threshold of 0 or above the number of keys, unknown fields.
Result<KeySet> parse_key_set(std::string_view json, std::string_view name);
std::string to_json(const KeySet& keys);
// Is this document one that says it is a key set? By its "format" only, of this version or another.
bool is_key_set(std::string_view json);

// Who has signed these bytes: the ids (PublicKey::id_text) of the keys of the set, sorted. A key counts once, and so do
// keys of one id. Signatures of unknown keys and wrong ones are ignored if the others are enough; a file with any line
// that is no part of a signature is refused whole. BadInput if too few have signed; the message says which case it is:
// no signature, an unknown key (its id), a wrong signature (of which key), and how many of how many. `name` is what
// errors call the document.
Result<std::vector<std::string>> verify(const KeySet& keys, std::string_view bytes, std::string_view signatures,
                                        std::string_view name);

// The next key set: verified with `current` and with itself before it is believed; its serial must be higher.
Result<KeySet> rotate(const KeySet& current, std::string_view bytes, std::string_view signatures,
                      std::string_view name);

} // namespace kudo
