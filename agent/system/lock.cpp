// SPDX-License-Identifier: MIT
#include "agent/system/lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <fstream>
#include <sstream>
#include <string>
#include <thread>

#include <fmt/format.h>

#include "agent/system/files.h"

namespace kudo {
namespace {

// " (process 1234)", from /proc/locks: "1: FLOCK  ADVISORY  WRITE 1234 08:01:5678 0 EOF". Empty: not listed there, as
// on a filesystem that shows files another device number than its own (btrfs), or in another PID namespace.
std::string holder_of(int fd) {
    struct stat about {};
    if (fstat(fd, &about) != 0) return {};
    const std::string locked = fmt::format("{:02x}:{:02x}:{}", major(about.st_dev), minor(about.st_dev), about.st_ino);
    std::ifstream locks("/proc/locks");
    for (std::string line; std::getline(locks, line);) {
        std::istringstream words(line);
        std::string id, type, advisory, mode, process, file;
        words >> id >> type >> advisory >> mode >> process >> file;
        if (type == "FLOCK" && file == locked) return fmt::format(" (process {})", process);
    }
    return {};
}

// One that has been removed and made again locks nobody out.
bool is_at(int fd, const std::filesystem::path& path) {
    struct stat held {
    }, there{};
    return fstat(fd, &held) == 0 && stat(path.c_str(), &there) == 0 && held.st_ino == there.st_ino &&
           held.st_dev == there.st_dev;
}

} // namespace

Result<Fd> lock_folder(const std::filesystem::path& folder, std::chrono::milliseconds timeout) {
    const auto deadline = std::chrono::steady_clock::now() + timeout;
    while (true) {
        KUDO_TRY(make_folder(folder));
        Fd fd(open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
        const bool is_over = std::chrono::steady_clock::now() >= deadline;
        if (!fd && errno == ENOENT && !is_over) continue; // removed in between
        if (!fd) {
            const int number = errno;
            return fail(Error{number == EACCES || number == EPERM ? ErrorKind::NotPermitted : ErrorKind::Failed,
                              fmt::format("{}: cannot open: {}", folder.string(), strerror(number)), number});
        }
        const bool locked = flock(fd.get(), LOCK_EX | LOCK_NB) == 0;
        if (locked && is_at(fd.get(), folder)) return fd;
        if (!locked && errno != EWOULDBLOCK && errno != EINTR) return fail_errno(folder.string() + ": cannot lock");
        if (is_over)
            return fail(fmt::format("another kudo-agent{} is changing this host; waited {}, try again",
                                    holder_of(fd.get()),
                                    timeout.count() % 1000 ? fmt::format("{} ms", timeout.count())
                                                           : fmt::format("{} s", timeout.count() / 1000)),
                        EWOULDBLOCK);
        std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
}

Result<Fd> lock_file(const std::filesystem::path& file) {
    KUDO_TRY(make_folder(file.parent_path()));
    for (int moments = 10;;) { // whoever only asks whether it is locked has it for less
        Fd fd(open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
        if (!fd) return fail_errno(file.string() + ": cannot open");
        if (flock(fd.get(), LOCK_EX | LOCK_NB) == 0) {
            if (is_at(fd.get(), file)) return fd;
        } else if (errno != EWOULDBLOCK || moments-- == 0) {
            return fail_errno(file.string() + ": cannot lock");
        } else {
            std::this_thread::sleep_for(std::chrono::milliseconds(10));
        }
    }
}

Result<bool> is_locked(const std::filesystem::path& file) {
    const Fd fd(open(file.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
    if (!fd && errno == ENOENT) return false;
    if (!fd) return fail_errno(file.string() + ": cannot open");
    return flock(fd.get(), LOCK_SH | LOCK_NB) != 0 && errno == EWOULDBLOCK;
}

void remove_unlocked_file(const std::filesystem::path& file) {
    const Fd fd(open(file.c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW));
    if (fd && flock(fd.get(), LOCK_EX | LOCK_NB) == 0 && is_at(fd.get(), file)) unlink(file.c_str());
}

} // namespace kudo
