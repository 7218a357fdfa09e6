// SPDX-License-Identifier: MIT
// A listening unix(7) socket at a path, for this process's user and group (mode 0660).
// Invariant: in its place nothing is removed but a socket on which nobody listens any more; its own is gone with it.
#pragma once

#include <chrono>
#include <cstddef>
#include <filesystem>

#include <sys/types.h>

#include "agent/system/fd.h"
#include "maps/base/result.h"

namespace kudo {

// Of the instance that has the default folders.
inline constexpr const char* default_query_socket = "/run/kudo-agent/query.sock";

inline constexpr std::size_t max_socket_path = 107; // bytes: sockaddr_un

class ListeningSocket {
public:
    // `type`: SOCK_SEQPACKET or SOCK_STREAM. Errors name the path.
    static Result<ListeningSocket> open(const std::filesystem::path& path, int type);
    ListeningSocket(ListeningSocket&& other) noexcept
        : path_(std::move(other.path_)), fd_(std::move(other.fd_)), device_(other.device_), inode_(other.inode_) {}
    ListeningSocket& operator=(ListeningSocket&&) = delete;
    ~ListeningSocket();

    [[nodiscard]] int fd() const { return fd_.get(); } // does not block
    // False: it was removed, or something else is in its place.
    [[nodiscard]] bool is_there() const;

private:
    ListeningSocket(std::filesystem::path path, Fd fd, dev_t device, ino_t inode)
        : path_(std::move(path)), fd_(std::move(fd)), device_(device), inode_(inode) {}
    std::filesystem::path path_;
    Fd fd_;
    dev_t device_;
    ino_t inode_; // of the file at the path
};

// A connection, as long as it takes at most `timeout`. Errors have errno: ENOENT, ECONNREFUSED (nobody listens),
// EACCES, EAGAIN (nobody accepts in time).
Result<Fd> connect_to(const std::filesystem::path& path, int type, std::chrono::milliseconds timeout);

} // namespace kudo
