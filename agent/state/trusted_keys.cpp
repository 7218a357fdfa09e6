// SPDX-License-Identifier: MIT
#include "agent/state/trusted_keys.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "agent/system/own_files.h"
#include "maps/base/text.h"

namespace kudo {
namespace {

constexpr std::size_t key_file_max_bytes = 4096;
constexpr std::size_t max_problems = 8, max_problem_length = 600; // a file's name may hold anything

Result<std::vector<std::filesystem::path>> key_files(const std::filesystem::path& folder) {
    std::vector<std::filesystem::path> files;
    std::error_code error;
    std::filesystem::directory_iterator entries(folder, error);
    if (error == std::errc::no_such_file_or_directory) return files;
    if (error == std::errc::not_a_directory)
        return bad_input(fmt::format("--keys: {} is not a folder; expected one with minisign's *.pub files in it",
                                     quoted_text(folder.string())));
    if (error) return fail(fmt::format("{}: {}", folder.string(), error.message()), error.value());
    // An editor's lock ".#x.pub" is hidden, and its backups do not end in ".pub".
    for (; !error && entries != std::filesystem::directory_iterator(); entries.increment(error)) {
        const auto& path = entries->path();
        if (path.extension() == ".pub" && !path.filename().string().starts_with('.')) files.push_back(path);
    }
    if (error) return fail(fmt::format("{}: {}", folder.string(), error.message()), error.value());
    std::ranges::sort(files);
    return files;
}

Result<PublicKey> read_key(const std::filesystem::path& file) {
    return parse_public_key(KUDO_TRY(read_own_file(file, key_file_max_bytes)), file.string());
}

} // namespace

Result<void> KeysFolder::check_threshold() const {
    const std::size_t count = keys.keys.size();
    if (keys.threshold <= count || (count == 0 && problems.empty())) return {};
    return bad_input(with_problems(fmt::format("--key-threshold: {} signature{} can never come from the {} key{} in {}",
                                               keys.threshold, keys.threshold == 1 ? "" : "s", count,
                                               count == 1 ? "" : "s", folder.string())));
}

std::string KeysFolder::with_problems(std::string message) const {
    if (!problems.empty()) message += fmt::format("; no key: {}", fmt::join(problems, "; "));
    return message;
}

Result<KeysFolder> read_keys_folder(const std::filesystem::path& folder, unsigned threshold) {
    if (threshold < 1) return bad_input("--key-threshold: 0 would accept unsigned documents; write 1 or more");
    KeysFolder result;
    result.folder = folder;
    result.keys.threshold = threshold;
    std::size_t unnamed = 0;
    for (const auto& file : KUDO_TRY(key_files(folder))) {
        auto key = read_key(file);
        if (key)
            result.keys.keys.push_back(*key);
        else if (result.problems.size() < max_problems)
            result.problems.push_back(escaped(key.error().message, max_problem_length));
        else
            unnamed++;
    }
    if (unnamed > 0) result.problems.push_back(fmt::format("and {} more files", unnamed));
    auto& keys = result.keys.keys;
    std::ranges::sort(keys);
    keys.erase(std::unique(keys.begin(), keys.end()), keys.end());
    return result;
}

std::vector<std::string> keys_folder_problems(const std::filesystem::path& folder, unsigned threshold) {
    auto read = read_keys_folder(folder, threshold);
    if (!read) return {read.error().message};
    if (auto enough = read->check_threshold(); !enough) return {std::move(enough.error().message)}; // names the files
    return std::move(read->problems);
}

const KeySet& trusted_keys(const KeySet& folder, const RangeLedger& ledger) {
    return ledger.keys ? *ledger.keys : folder;
}

} // namespace kudo
