// SPDX-License-Identifier: MIT
#include "cli/report/save.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <string>

#include <fmt/format.h>

#include "agent/system/fd.h"

namespace kudo {
namespace {

tl::unexpected<Error> refused(const std::filesystem::path& path, std::string_view doing, int number) {
    const bool denied = number == EACCES || number == EPERM || number == EROFS;
    return fail(Error{denied                                  ? ErrorKind::NotPermitted
                      : number == ENOENT || number == ENOTDIR ? ErrorKind::BadInput
                                                              : ErrorKind::Failed,
                      fmt::format("{}: {}: {}", path.string(), doing, strerror(number)), number});
}

// A file beside the one that it will replace, gone again unless it has.
class TemporaryFile {
public:
    explicit TemporaryFile(const std::filesystem::path& folder)
        : name_((folder / ".kudo-report-XXXXXX").string()), fd_(mkostemp(name_.data(), O_CLOEXEC)) {}
    TemporaryFile(const TemporaryFile&) = delete;
    TemporaryFile& operator=(const TemporaryFile&) = delete;
    ~TemporaryFile() {
        if (fd_ && !moved_) unlink(name_.c_str());
    }
    [[nodiscard]] int fd() const { return fd_.get(); }
    explicit operator bool() const { return static_cast<bool>(fd_); }
    bool move_to(const std::filesystem::path& path) { return moved_ = rename(name_.c_str(), path.c_str()) == 0; }

private:
    std::string name_; // mode 0600
    Fd fd_;
    bool moved_ = false;
};

bool write_all(int fd, std::string_view content) {
    while (!content.empty()) {
        const ssize_t written = write(fd, content.data(), content.size());
        if (written < 0 && errno == EINTR) continue;
        if (written < 0) return false;
        content.remove_prefix(static_cast<std::size_t>(written));
    }
    return true;
}

std::filesystem::path folder_of(const std::filesystem::path& path) {
    return path.has_parent_path() ? path.parent_path() : ".";
}

} // namespace

Result<void> check_report_path(const std::filesystem::path& path) {
    if (path.empty() || !path.has_filename()) return bad_input("-o: expected the name of a file");
    struct stat about {};
    if (lstat(path.c_str(), &about) == 0) {
        if (S_ISREG(about.st_mode)) return {};
        return bad_input(fmt::format("{}: {}, not a file; nothing was written", path.string(),
                                     S_ISDIR(about.st_mode)   ? "a folder"
                                     : S_ISLNK(about.st_mode) ? "a symbolic link"
                                                              : "a device, pipe or socket"));
    }
    if (errno != ENOENT) return refused(path, "cannot write", errno);
    const auto folder = folder_of(path);
    if (stat(folder.c_str(), &about) != 0) return refused(folder, "cannot write into this folder", errno);
    return {};
}

Result<void> save_report(const std::filesystem::path& path, std::string_view content) {
    KUDO_TRY(check_report_path(path));
    TemporaryFile file(folder_of(path));
    if (!file) return refused(folder_of(path), "cannot create a file in this folder", errno);
    if (!write_all(file.fd(), content) || fsync(file.fd()) != 0) return refused(path, "cannot write", errno);
    if (!file.move_to(path)) return refused(path, "cannot replace", errno);
    return {};
}

} // namespace kudo
