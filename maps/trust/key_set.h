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
#include "maps/document/json_document.h"
#include "maps/trust/minisign.h"

namespace kudo {

inline constexpr std::string_view key_set_format = "kudo-key-set/1";
inline constexpr std::size_t key_set_max_keys = 64;

struct KeySet {
    std::vector<PublicKey> keys; // distinct, sorted; may be empty: then nothing is ever signed
    unsigned threshold = 1;      // 1 to the number of keys
    uint64_t serial = 0;         // 0: the admin's own folder of keys
    uint64_t serial_floor = 0;   // a host whose highest range map is above this goes down to it; 0: does not
};

// Errors begin with the path of what is wrong.
Result<KeySet> key_set_from(const Json& root);
// The document: {"format": "kudo-key-set/1", "serial": 7, "threshold": 2, "keys": ["RW...", ...]}, and
// optionally "serial_floor": 2022040199. Refused whole if any
// part of it is wrong: no keys, a key or key id twice, a threshold of 0 or above the number of keys, unknown fields.
Result<KeySet> parse_key_set(std::string_view json, std::string_view name);
std::string to_json(const KeySet& keys);
// Does the document say that it is a key set, of this version or another? Only its "format" is looked at.
bool is_key_set(const Json& root);

// Who has signed these bytes: the ids (PublicKey::id_text) of the keys of the set, sorted. A key counts once, and so do
// keys of one id. Signatures by unknown keys and invalid ones are ignored if the others are enough; a file with any
// line that is no part of a signature is refused whole. BadInput if too few have signed; the message says which case it
// is: no signature, an unknown key (its id), an invalid signature (by which key), and how many of how many. `name` is
// what errors call the document.
Result<std::vector<std::string>> verify(const KeySet& keys, std::string_view bytes, std::string_view signatures,
                                        std::string_view name);

// May `next`, whose document these bytes are, follow `current`? Both must have signed it, and its serial must be
// higher.
Result<void> check_rotation(const KeySet& current, const KeySet& next, std::string_view bytes,
                            std::string_view signatures, std::string_view name);

} // namespace kudo
