// SPDX-License-Identifier: MIT
// Whose signatures this host trusts: the administrator's folder of public keys, or the key set that has replaced it.
// Invariant: once a key set has replaced it the folder no longer counts, so that no change of files brings a revoked
// key back; only an administrator's own command does (ranges apply --trust-folder). A file that is no key takes nothing
// from the others, and never makes fewer signatures enough.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "agent/state/range_ledger.h"
#include "maps/trust/key_set.h"

namespace kudo {

inline constexpr const char* default_keys_folder = "/etc/kudo-agent/keys";

struct KeysFolder {
    KeySet keys;
    std::vector<std::string> problems; // of each file that is no public key, one line; bounded
    std::filesystem::path folder;

    // BadInput: so many signatures as are required can never come from these keys. No file at all is valid: nothing is
    // accepted by signature then.
    [[nodiscard]] Result<void> check_threshold() const;
    // "message; not a key: PROBLEM; PROBLEM", for somebody whose key may be among them.
    [[nodiscard]] std::string with_problems(std::string message) const;
};

// The keys of the files *.pub, each as minisign -G writes it, hidden files excepted. No folder, or an empty one: no
// keys. BadInput: not a folder, or a threshold of 0.
Result<KeysFolder> read_keys_folder(const std::filesystem::path& folder, unsigned threshold);

// All that is wrong with the folder now, one line each: what keeps it from being read, its files' problems, too few
// keys for the threshold. For the service, which goes on with the keys that it has.
std::vector<std::string> keys_folder_problems(const std::filesystem::path& folder, unsigned threshold);

// The key set that counts on this host.
const KeySet& trusted_keys(const KeySet& folder, const RangeLedger& ledger);

} // namespace kudo
