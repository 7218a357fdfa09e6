// SPDX-License-Identifier: MIT
#include "agent/query/socket.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>

#include <fmt/format.h>

namespace kudo {
namespace {

constexpr int backlog = 16;
constexpr mode_t for_user_and_group = 0660;

Result<sockaddr_un> address_of(const std::filesystem::path& path) {
    sockaddr_un address{};
    const std::string& text = path.native();
    if (text.empty() || text.size() > max_socket_path || text.find('\0') != std::string::npos)
        return bad_input(fmt::format("{}: a socket's path has at most {} bytes", path.string(), max_socket_path));
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, text.data(), text.size());
    return address;
}

// What a service that was killed has left.
Result<void> remove_left_over(const std::filesystem::path& path, const sockaddr_un& address, int type) {
    struct stat about {};
    if (lstat(path.c_str(), &about) != 0) {
        if (errno == ENOENT) return {};
        return fail_errno(path.string());
    }
    if (!S_ISSOCK(about.st_mode))
        return bad_input(fmt::format("{}: not a socket, and left as it is; remove it, or name another", path.string()));
    const Fd probe(socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!probe) return fail_errno("cannot make a socket");
    const bool answered =
        connect(probe.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0 || errno != ECONNREFUSED;
    if (answered) return fail(fmt::format("{}: another process listens there", path.string()), EADDRINUSE);
    if (unlink(path.c_str()) != 0) return fail_errno(path.string() + ": cannot remove what was left");
    return {};
}

} // namespace

Result<ListeningSocket> ListeningSocket::open(const std::filesystem::path& path, int type) {
    const sockaddr_un address = KUDO_TRY(address_of(path));
    KUDO_TRY(remove_left_over(path, address, type));
    Fd fd(socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!fd) return fail_errno("cannot make a socket");
    if (bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
        return fail_errno(path.string() + ": cannot listen");
    struct stat about {};
    // Nobody can connect before listen().
    if (chmod(path.c_str(), for_user_and_group) != 0 || lstat(path.c_str(), &about) != 0 ||
        listen(fd.get(), backlog) != 0) {
        const int number = errno;
        unlink(path.c_str());
        return fail_errno(path.string() + ": cannot listen", number);
    }
    return ListeningSocket(path, std::move(fd), about.st_dev, about.st_ino);
}

bool ListeningSocket::is_there() const {
    struct stat about {};
    return lstat(path_.c_str(), &about) == 0 && about.st_dev == device_ && about.st_ino == inode_;
}

ListeningSocket::~ListeningSocket() {
    if (fd_ && is_there()) unlink(path_.c_str());
}

Result<Fd> connect_to(const std::filesystem::path& path, int type, std::chrono::milliseconds timeout) {
    const sockaddr_un address = KUDO_TRY(address_of(path));
    Fd fd(socket(AF_UNIX, type | SOCK_CLOEXEC, 0));
    if (!fd) return fail_errno("cannot make a socket");
    // Also how long connect() waits for room (unix(7)).
    const timeval wait{timeout.count() / 1000, timeout.count() % 1000 * 1000};
    if (setsockopt(fd.get(), SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof wait) != 0 ||
        connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
        return fail_errno(path.string());
    return fd;
}

} // namespace kudo
