// SPDX-License-Identifier: MIT
// Which processes have a socket open: one walk over /proc/PID/fd for any number of sockets.
// Invariant: "not permitted to know" is never told as "none". Processes of other PID namespaces are seen only if /proc
// shows them.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "maps/base/result.h"

namespace kudo {

struct SocketOwner {
    int pid = 0;
    std::string name{};      // of the command, /proc/PID/comm: at most 15 bytes, escaped
    std::string unit{};      // systemd's, "chrony.service", "session-3.scope"; empty: none, or not known
    std::string container{}; // "docker 3f2a9c1b7d4e", "podman ...", "kubernetes ...": first 12 digits; empty: none
};

struct SocketOwners {
    std::map<uint32_t, std::vector<SocketOwner>> by_inode{}; // those found; by pid
    std::size_t hidden = 0;                                  // processes whose descriptors this process may not read
    bool cut = false;                                        // the walk ended at its bound: there may be more

    // Adds those of this socket.
    void add_to(std::vector<SocketOwner>& owners, uint32_t inode) const;

    // For an inode without owners: does that mean that there is none?
    [[nodiscard]] bool complete() const { return hidden == 0 && !cut; }
};

// The inodes of all sockets that a process has open. Nothing: this process may not know, or there is no such process.
std::optional<std::set<uint32_t>> sockets_of_process(int pid, const std::filesystem::path& proc = "/proc");

// Reads at most a million descriptors. Errors: Failed if there is no /proc.
Result<SocketOwners> owners_of(const std::set<uint32_t>& inodes, const std::filesystem::path& proc = "/proc");

// From the lines of /proc/PID/cgroup (cgroups(7)).
struct CgroupNames {
    std::string unit{}, container{};
};
CgroupNames names_of_cgroup(std::string_view lines);

} // namespace kudo
