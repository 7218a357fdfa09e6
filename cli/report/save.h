// SPDX-License-Identifier: MIT
// Writes a report where somebody wants it.
// Invariant: a file that was there is replaced by a whole one or stays as it was; nothing else is left behind. What is
// written is for its owner alone (mode 0600): it has addresses.
#pragma once

#include <filesystem>
#include <string_view>

#include "maps/base/result.h"

namespace kudo {

// BadInput: something is there that is no file (a folder, a symbolic link, a device), or there is no such folder.
Result<void> save_report(const std::filesystem::path& path, std::string_view content);
// The same before anything is read for it.
Result<void> check_report_path(const std::filesystem::path& path);

} // namespace kudo
