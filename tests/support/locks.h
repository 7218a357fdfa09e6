// SPDX-License-Identifier: MIT
// Which process holds a lock of flock(2), as the kernel tells.
#pragma once

#include <fstream>
#include <iterator>
#include <string>

namespace kudo::test {

// On whichever file.
inline bool holds_a_lock(int process) {
    std::ifstream locks("/proc/locks");
    const std::string text((std::istreambuf_iterator<char>(locks)), {});
    return text.find(" FLOCK  ADVISORY  WRITE " + std::to_string(process) + " ") != std::string::npos;
}

} // namespace kudo::test
