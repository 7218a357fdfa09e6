// SPDX-License-Identifier: MIT
#include "cli/arguments/operator_keys.h"

#include <fmt/format.h>

#include "agent/state/trusted_keys.h"

namespace kudo {

Result<KeySet> load_operator_keys(const GlobalOptions& global) {
    const auto& folder = global.acceptance.keys_folder;
    auto keys = read_keys_folder(folder, global.acceptance.key_threshold);
    if (keys && keys->keys.empty())
        return bad_input(
            fmt::format("--keys: {}: no *.pub file; put the public keys of those who sign there", folder.string()));
    return keys;
}

} // namespace kudo
