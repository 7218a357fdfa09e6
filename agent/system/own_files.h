// SPDX-License-Identifier: MIT
// Files that are kudo-agent's own, or decide whom it trusts: the state, stored range maps, keys.
// Invariant: a file is read itself, never through a symbolic link that somebody has put in its place. Links on the way
// there, such as /var/lib/kudo-agent or the keys folder, are the administrator's and are followed.
#pragma once

#include <cstddef>
#include <filesystem>
#include <string>

#include "maps/base/result.h"

namespace kudo {

// As read_file(); a symbolic link is BadInput.
Result<std::string> read_own_file(const std::filesystem::path& path, std::size_t limit);

} // namespace kudo
