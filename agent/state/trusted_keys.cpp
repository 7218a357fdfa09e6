// SPDX-License-Identifier: MIT
#include "agent/state/trusted_keys.h"

#include <algorithm>

#include <fmt/format.h>

#include "agent/system/files.h"
#include "maps/base/text.h"

namespace kudo {
namespace {

constexpr std::size_t key_file_max_bytes = 4096;

Result<std::vector<std::filesystem::path>> key_files(const std::filesystem::path& folder) {
    std::vector<std::filesystem::path> files;
    std::error_code error;
    std::filesystem::directory_iterator entries(folder, error);
    if (error == std::errc::no_such_file_or_directory) return files;
    if (error == std::errc::not_a_directory)
        return bad_input(fmt::format("--keys: {} is not a folder; expected one with minisign's *.pub files in it",
                                     quoted_text(folder.string())));
    if (error) return fail(fmt::format("{}: {}", folder.string(), error.message()), error.value());
    for (const auto& entry : entries)
        if (entry.path().extension() == ".pub") files.push_back(entry.path());
    std::ranges::sort(files);
    return files;
}

} // namespace

Result<KeySet> read_keys_folder(const std::filesystem::path& folder, unsigned threshold) {
    auto files = KUDO_TRY(key_files(folder));
    KeySet keys;
    keys.threshold = threshold;
    for (const auto& file : files) {
        const auto text = KUDO_TRY(read_file(file, key_file_max_bytes));
        const auto key = KUDO_TRY(parse_public_key(text, file.string()));
        keys.keys.push_back(key);
    }
    std::ranges::sort(keys.keys);
    keys.keys.erase(std::unique(keys.keys.begin(), keys.keys.end()), keys.keys.end());
    if (threshold < 1) return bad_input("--key-threshold: 0 would accept unsigned documents; write 1 or more");
    if (!keys.keys.empty() && threshold > keys.keys.size())
        return bad_input(fmt::format("--key-threshold: {} signatures can never come from the {} key{} in {}", threshold,
                                     keys.keys.size(), keys.keys.size() == 1 ? "" : "s", folder.string()));
    return keys;
}

const KeySet& trusted_keys(const KeySet& folder, const RangeLedger& ledger) {
    return ledger.keys ? *ledger.keys : folder;
}

} // namespace kudo
