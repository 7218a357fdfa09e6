// SPDX-License-Identifier: MIT
#include "cli/arguments/operator_keys.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include "agent/state/trusted_keys.h"

namespace kudo {

Result<KeySet> load_operator_keys(const GlobalOptions& global) {
    const auto& folder = global.acceptance.keys_folder;
    auto read = KUDO_TRY(read_keys_folder(folder, global.acceptance.key_threshold));
    KUDO_TRY(read.check_threshold());
    if (read.keys.keys.empty())
        return bad_input(
            fmt::format("--keys: {}: no *.pub file; put the public keys of those who sign there", folder.string()));
    for (const std::string& problem : read.problems)
        spdlog::warn("{}; the other keys count", problem);
    return std::move(read.keys);
}

} // namespace kudo
