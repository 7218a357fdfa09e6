// SPDX-License-Identifier: MIT
// Files that survive a crash whole: read with a limit, replaced by rename after fsync. Included by the desired state
// and the commands. Invariant: a reader sees the old content or the new one, never a part.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

#include "maps/result.h"

namespace kudo {

// The whole of a regular file of at most `limit` bytes. Anything else (a FIFO, a device, a folder) is BadInput and is
// never waited for.
Result<std::string> read_file(const std::filesystem::path& path, std::size_t limit);

// Replaces `path` by a file with this content, mode 0600, and fsyncs the file and its folder.
Result<void> replace_file(const std::filesystem::path& path, std::string_view content);

// The folder and its parents, mode 0700.
Result<void> make_folder(const std::filesystem::path& path);

} // namespace kudo
