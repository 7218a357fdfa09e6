// SPDX-License-Identifier: MIT
// What an interface's driver is, and what it merges on reception (SIOCETHTOOL, linux/ethtool.h).
#pragma once

#include <optional>
#include <string>

namespace kudo {

struct Offloads {
    std::string driver{};             // "e1000e"; empty: it does not tell
    std::optional<bool> gro{}, lro{}; // generic and large receive offload; nothing: it does not tell
};
// Of the calling thread's network namespace.
Offloads read_offloads(const std::string& interface);

} // namespace kudo
