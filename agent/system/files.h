// SPDX-License-Identifier: MIT
// Files that are whole after a crash: read with a limit, replaced by rename after fsync.
// Invariant: a reader sees the old content or the new one, never a part.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

#include "agent/system/fd.h"
#include "maps/base/result.h"

namespace kudo {

// The whole of a regular file of at most `limit` bytes. Anything else (a FIFO, a device, a folder) is BadInput and is
// never waited for.
Result<std::string> read_file(const std::filesystem::path& path, std::size_t limit);

// The same of the file that has this name in an open folder, whatever has become of the folder's own path. A symbolic
// link is BadInput as well, and its target is not touched. `shown` is what errors call the file. ENOENT in the error's
// number: there is none.
Result<std::string> read_file_at(const Fd& folder, const std::string& name, std::size_t limit,
                                 const std::string& shown);

// Replaces `path` by a file with this content, mode 0600, and fsyncs the file and its folder. Root's is the folder's
// owner's.
// Flush::No: without the two fsyncs, for what may be lost in a crash; it is still whole or not there.
enum class Flush { Yes, No };
Result<void> replace_file(const std::filesystem::path& path, std::string_view content, Flush flush = Flush::Yes,
                          mode_t mode = 0600);

// The folder and its parents, mode 0700; root's is the owner's of the one that it is in.
Result<void> make_folder(const std::filesystem::path& path);

} // namespace kudo
