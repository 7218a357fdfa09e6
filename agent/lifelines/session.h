// SPDX-License-Identifier: MIT
// From which login a command was given: what tells whether another command comes from the same one. Whether that is a
// new one: see arrival.h.
// Invariant: what cannot be read is empty or 0, never a guess.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "agent/lifelines/process_stat.h"
#include "maps/net/prefix.h"

namespace kudo {

struct Session {
    // "CLIENT PORT SERVER PORT", sshd(8): of this process or the nearest ancestor that has it, since sudo drops it.
    std::string ssh{};
    std::vector<std::string> ssh_above{}; // what farther ancestors have otherwise; not kept in the state
    int leader = 0;                       // process of the session's leader, getsid(2); 0: of another PID namespace
    uint64_t leader_started = 0;          // ns of CLOCK_BOOTTIME, rounded down; 0: it has ended
    static constexpr uint64_t start_resolution = ProcessStat::start_resolution;
    uint32_t login = no_login; // the kernel's number of the login, /proc/self/sessionid (pam_loginuid(8))
    static constexpr uint32_t no_login = no_login_number; // none: not a login, or no audit in the kernel
    bool operator==(const Session&) const = default;
};

// Of this process.
Session own_session(const std::filesystem::path& proc = "/proc");

// The two ends of an SSH connection. Nothing: the text is none.
struct SshConnection {
    Address client, server;                    // IPv4-mapped ones as IPv4
    uint16_t client_port = 0, server_port = 0; // host order
};
std::optional<SshConnection> parse_ssh_connection(std::string_view text);

} // namespace kudo
