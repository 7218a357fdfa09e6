// SPDX-License-Identifier: MIT
#include "agent/flowrecords/json_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include <fmt/format.h>

#include "maps/base/text.h"

namespace kudo {
namespace {

constexpr mode_t for_group = 0640; // addresses of this host's users are nobody else's business
// O_NONBLOCK: a FIFO that nobody reads is refused at once.
constexpr int appending = O_WRONLY | O_APPEND | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK | O_NOCTTY;

bool is_same(const struct stat& a, const struct stat& b) {
    return a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

} // namespace

// The file that has the name now: logrotate(8) may have renamed the one that is open.
Result<void> JsonFile::open_current() {
    struct stat named {
    }, open_one{};
    if (file_ && stat(path_.c_str(), &named) == 0 && fstat(file_.get(), &open_one) == 0 && is_same(named, open_one))
        return {};
    file_ = Fd(open(path_.c_str(), appending));
    if (!file_ && errno == ENOENT) {
        file_ = Fd(open(path_.c_str(), appending | O_CREAT | O_EXCL, for_group));
        if (file_ && fchmod(file_.get(), for_group) != 0) return fail_errno("cannot change the mode"); // UMask=0077
    }
    if (!file_ && errno == ELOOP) return fail("a symbolic link, which is not followed", ELOOP);
    if (!file_) return fail_errno("cannot open");
    if (fstat(file_.get(), &open_one) != 0) return fail_errno("cannot be looked at");
    if (!S_ISREG(open_one.st_mode)) {
        file_ = Fd();
        return fail("not a regular file");
    }
    if (auto ended = end_last_line(); !ended) {
        file_ = Fd();
        return ended;
    }
    return {};
}

// Whoever was killed while it wrote has left a part of one.
Result<void> JsonFile::end_last_line() {
    const Fd read_end(open(path_.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
    struct stat written {
    }, read{};
    if (!read_end || fstat(file_.get(), &written) != 0 || fstat(read_end.get(), &read) != 0)
        return fail_errno("its last line cannot be looked at");
    char last = '\n';
    if (!is_same(written, read) || read.st_size == 0 || pread(read_end.get(), &last, 1, read.st_size - 1) != 1 ||
        last == '\n')
        return {};
    KUDO_TRY(append("\n"));
    return {};
}

Result<std::size_t> JsonFile::append(std::string_view text) {
    std::size_t written = 0;
    while (written < text.size()) {
        const ssize_t now = write(file_.get(), text.data() + written, text.size() - written);
        if (now < 0 && errno == EINTR) continue;
        if (now <= 0 && written == 0) return fail_errno("cannot write");
        if (now <= 0) break;
        written += static_cast<std::size_t>(now);
    }
    return written;
}

void JsonFile::send(const std::vector<DataRecord>& batch) {
    std::string text;
    std::vector<std::size_t> ends; // of the lines
    for (const DataRecord& record : batch) {
        text += json_line(record) + '\n';
        ends.push_back(text.size());
    }
    std::size_t count = 0;
    const auto done = [&]() -> Result<void> {
        KUDO_TRY(open_current());
        const std::size_t written = KUDO_TRY(append(text));
        count = static_cast<std::size_t>(std::ranges::upper_bound(ends, written) - ends.begin());
        if (count == batch.size()) return {};
        // A full disk took part of a line: away with that.
        const std::size_t whole = count == 0 ? 0 : ends[count - 1];
        struct stat about {};
        if (written > whole && (fstat(file_.get(), &about) != 0 ||
                                ftruncate(file_.get(), about.st_size - static_cast<off_t>(written - whole)) != 0)) {
            const int number = errno;
            file_ = Fd(); // its last line is ended once it is opened again
            return fail_errno("cannot take back a part of a line", number);
        }
        return fail("cannot write more than a part", ENOSPC);
    }();
    problem_ = done ? "" : fmt::format("{}: {}", escaped(path_.string(), 300), done.error().message);
    handed_over_(count);
}

} // namespace kudo
