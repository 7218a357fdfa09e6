// SPDX-License-Identifier: MIT
#include "agent/system/files.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>

#include <fmt/format.h>

#include "agent/system/fd.h"
#include "agent/system/own_files.h"

namespace kudo {
namespace {

Error error_for(const std::filesystem::path& path, std::string_view doing, int number) {
    const bool denied = number == EACCES || number == EPERM;
    return Error{denied ? ErrorKind::NotPermitted : ErrorKind::Failed,
                 fmt::format("{}: {}: {}{}", path.string(), doing, strerror(number),
                             denied && geteuid() != 0 ? "; run as root" : ""),
                 number};
}

Result<void> write_all(int fd, std::string_view content, const std::filesystem::path& path) {
    while (!content.empty()) {
        const ssize_t written = write(fd, content.data(), content.size());
        if (written < 0 && errno == EINTR) continue;
        if (written < 0) return fail(error_for(path, "cannot write", errno));
        content.remove_prefix(static_cast<std::size_t>(written));
    }
    return {};
}

constexpr int read_only = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY;

tl::unexpected<Error> is_a_link(const std::string& shown) {
    return bad_input(fmt::format("{}: a symbolic link; put the file itself there", shown));
}

// `fd`: as open() gave it, with errno if it failed.
Result<std::string> read_whole(const Fd& fd, std::size_t limit, const std::filesystem::path& path) {
    if (!fd) {
        Error error = error_for(path, "cannot open", errno);
        if (error.number == ENOENT || error.number == ENOTDIR) error.kind = ErrorKind::BadInput;
        return fail(std::move(error));
    }
    struct stat about {};
    if (fstat(fd.get(), &about) != 0) return fail(error_for(path, "cannot stat", errno));
    if (!S_ISREG(about.st_mode)) return bad_input(fmt::format("{}: not a regular file", path.string()));
    std::string content;
    const auto size = static_cast<std::size_t>(std::max<off_t>(about.st_size, 0));
    content.reserve(std::min(limit, size)); // the kernel's BTF has 6 MB
    while (content.size() <= limit) {
        char buffer[65536];
        const ssize_t got = read(fd.get(), buffer, sizeof buffer);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return fail(error_for(path, "cannot read", errno));
        if (got == 0) return content;
        content.append(buffer, static_cast<std::size_t>(got));
    }
    return bad_input(fmt::format("{}: larger than {} bytes", path.string(), limit));
}

// What root makes in somebody's folder is theirs at once: a service that runs as a user of its own may look before the
// command has ended, or was killed.
void give_to_owner_of(const std::filesystem::path& folder, const Fd& made) {
    struct stat about {};
    if (geteuid() != 0 || stat(folder.c_str(), &about) != 0 || about.st_uid == 0) return;
    [[maybe_unused]] const int given = fchown(made.get(), about.st_uid, about.st_gid);
}

} // namespace

Result<std::string> read_file(const std::filesystem::path& path, std::size_t limit) {
    return read_whole(Fd(open(path.c_str(), read_only)), limit, path);
}

Result<std::string> read_own_file(const std::filesystem::path& path, std::size_t limit) {
    const Fd fd(open(path.c_str(), read_only | O_NOFOLLOW));
    if (!fd && errno == ELOOP) return is_a_link(path.string());
    return read_whole(fd, limit, path);
}

Result<std::string> read_file_at(const Fd& folder, const std::string& name, std::size_t limit,
                                 const std::string& shown) {
    const Fd fd(openat(folder.get(), name.c_str(), read_only | O_NOFOLLOW));
    if (!fd && errno == ELOOP) return is_a_link(shown);
    return read_whole(fd, limit, shown);
}

Result<void> replace_file(const std::filesystem::path& path, std::string_view content, Flush flush, mode_t mode) {
    const std::filesystem::path temporary = path.string() + ".new";
    // A leftover of a killed command, or something planted there: never written through.
    if (unlink(temporary.c_str()) != 0 && errno != ENOENT) return fail(error_for(temporary, "cannot remove", errno));
    const Fd fd(open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
    if (!fd) return fail(error_for(temporary, "cannot create", errno));
    give_to_owner_of(path.parent_path(), fd);
    KUDO_TRY(write_all(fd.get(), content, temporary));
    if (fchmod(fd.get(), mode) != 0) return fail(error_for(temporary, "cannot change the mode of", errno));
    if (flush == Flush::Yes && fsync(fd.get()) != 0) return fail(error_for(temporary, "cannot fsync", errno));
    if (rename(temporary.c_str(), path.c_str()) != 0) return fail(error_for(path, "cannot replace", errno));
    if (flush == Flush::No) return {};
    const Fd folder(open(path.parent_path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!folder || fsync(folder.get()) != 0) return fail(error_for(path.parent_path(), "cannot fsync", errno));
    return {};
}

Result<void> make_folder(const std::filesystem::path& path) {
    if (!path.has_relative_path()) return {};
    struct stat about {};
    if (stat(path.c_str(), &about) == 0) {
        if (S_ISDIR(about.st_mode)) return {};
        return bad_input(fmt::format("{}: not a folder", path.string()));
    }
    KUDO_TRY(make_folder(path.parent_path()));
    if (mkdir(path.c_str(), 0700) == 0)
        give_to_owner_of(path.parent_path(), Fd(open(path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)));
    else if (errno != EEXIST)
        return fail(error_for(path, "cannot create the folder", errno));
    return {};
}

} // namespace kudo
