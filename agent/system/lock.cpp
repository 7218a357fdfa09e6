// SPDX-License-Identifier: MIT
#include "agent/system/lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>

#include <string>
#include <thread>

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include "agent/system/files.h"

namespace kudo {

namespace fs = std::filesystem;

namespace {

// Whoever deletes the file holds the lock on it; a file that is no longer at its path locks nobody out.
bool still_at(int fd, const std::filesystem::path& path) {
    struct stat held {
    }, named{};
    return fstat(fd, &held) == 0 && lstat(path.c_str(), &named) == 0 && held.st_ino == named.st_ino &&
           held.st_dev == named.st_dev;
}

std::string holder_of(int fd) {
    char text[32] = {};
    const ssize_t got = pread(fd, text, sizeof text - 1, 0);
    return got > 0 ? std::string(text, static_cast<std::size_t>(got)) : "unknown";
}

} // namespace

Result<Lock> Lock::take(const Instance& instance, std::chrono::milliseconds timeout) {
    const auto path = instance.state_dir / "lock";
    const auto deadline = std::chrono::steady_clock::now() + timeout;
    while (true) {
        KUDO_TRY(make_folder(instance.state_dir));
        Fd fd(open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
        if (!fd && errno == ENOENT && std::chrono::steady_clock::now() < deadline) {
            // The folder went away in between: its last user has just left.
            std::this_thread::sleep_for(std::chrono::milliseconds(1));
            continue;
        }
        // Read-only: what is there can still be locked.
        if (!fd && (errno == EROFS || errno == ENOSPC))
            fd = Fd(open(fs::exists(path) ? path.c_str() : instance.state_dir.c_str(), O_RDONLY | O_CLOEXEC));
        if (!fd) {
            const int number = errno;
            return fail(Error{number == EACCES || number == EPERM ? ErrorKind::NotPermitted : ErrorKind::Failed,
                              fmt::format("{}: cannot open: {}", path.string(), strerror(number)), number});
        }
        if (flock(fd.get(), LOCK_EX | LOCK_NB) == 0) {
            if (fs::exists(path) && !still_at(fd.get(), path)) continue;
            // For the message below only: a full disk must not keep anybody from switching us off.
            const std::string pid = std::to_string(getpid());
            if (ftruncate(fd.get(), 0) != 0 || pwrite(fd.get(), pid.data(), pid.size(), 0) < 0)
                spdlog::debug("{}: {}", path.string(), strerror(errno));
            return Lock(std::move(fd));
        }
        if (errno != EWOULDBLOCK && errno != EINTR) return fail_errno(path.string() + ": cannot lock");
        if (std::chrono::steady_clock::now() >= deadline)
            return fail(fmt::format("another kudo-agent (process {}) is changing this host; waited {} s, try again",
                                    holder_of(fd.get()),
                                    std::chrono::duration_cast<std::chrono::seconds>(timeout).count()),
                        EWOULDBLOCK);
        std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
}

void Lock::forget_if_unused(const Instance& instance) {
    std::error_code error;
    for (const auto& entry : std::filesystem::directory_iterator(instance.state_dir, error))
        if (entry.path().filename() != "lock" && entry.path().filename() != "range-maps") return;
    if (error) return;
    rmdir((instance.state_dir / "range-maps").c_str());
    if (std::filesystem::exists(instance.state_dir / "range-maps")) return;
    unlink((instance.state_dir / "lock").c_str());
    rmdir(instance.state_dir.c_str());
}

} // namespace kudo
