// SPDX-License-Identifier: MIT
// Loads the operator's keys. Used by the fleet commands.
// Invariant: see operator_keys.h.
#include "cli/operator_keys.h"

#include <algorithm>
#include <filesystem>
#include <system_error>

#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <fmt/format.h>

#include "agent/files.h"

namespace kudo {
namespace {

constexpr std::size_t key_max_bytes = 4096;

Result<std::vector<std::string>> key_files(const std::string& folder) {
    std::vector<std::string> files;
    std::error_code error;
    for (std::filesystem::directory_iterator entry(folder, error), end; !error && entry != end; entry.increment(error))
        if (entry->path().extension() == ".pub") files.push_back(entry->path().string());
    if (error) return bad_input(fmt::format("--keys: {}: cannot read the folder: {}", folder, error.message()));
    std::ranges::sort(files);
    return files;
}

} // namespace

void add_operator_keys_options(CLI::App& app, OperatorKeysOptions& options) {
    app.add_option("--keys", options.folder, "The folder with the public keys (*.pub) that may sign")
        ->type_name("DIR")
        ->capture_default_str();
    app.add_option("--key-threshold", options.threshold, "How many of them must have signed")
        ->type_name("N")
        ->capture_default_str();
}

Result<KeySet> load_operator_keys(const OperatorKeysOptions& options) {
    const auto files = key_files(options.folder);
    if (!files) return fail(files.error());
    KeySet keys;
    keys.threshold = options.threshold;
    for (const std::string& file : *files) {
        const auto text = read_file(file, key_max_bytes);
        if (!text) return fail(text.error());
        auto key = parse_public_key(*text, file);
        if (!key) return fail(std::move(key.error()));
        keys.keys.push_back(*key);
    }
    std::ranges::sort(keys.keys);
    const auto same = std::ranges::unique(keys.keys);
    keys.keys.erase(same.begin(), same.end());
    if (keys.keys.empty())
        return bad_input(
            fmt::format("--keys: {}: no *.pub file; put the public keys of those who sign there", options.folder));
    if (options.threshold < 1 || options.threshold > keys.keys.size())
        return bad_input(fmt::format("--key-threshold: {} of {} keys cannot be", options.threshold, keys.keys.size()));
    return keys;
}

} // namespace kudo
