// SPDX-License-Identifier: MIT
// Whose signatures this host trusts: the administrator's folder of public keys, or the key set that has replaced it.
// Invariant: once a key set has replaced it the folder no longer counts, so that no change of files brings a revoked
// key back; only an administrator's own command does (ranges apply --trust-folder).
#pragma once

#include <filesystem>

#include "agent/state/range_ledger.h"
#include "maps/trust/key_set.h"

namespace kudo {

inline constexpr const char* default_keys_folder = "/etc/kudo-agent/keys";

// The keys of the files *.pub, each as minisign -G writes it. No folder, or an empty one: no keys. BadInput: a file
// that is no public key, or a threshold that is higher than the number of keys.
Result<KeySet> read_keys_folder(const std::filesystem::path& folder, unsigned threshold);

// The key set that counts on this host.
const KeySet& trusted_keys(const KeySet& folder, const RangeLedger& ledger);

} // namespace kudo
