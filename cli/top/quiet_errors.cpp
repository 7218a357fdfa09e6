// SPDX-License-Identifier: MIT
#include "cli/top/quiet_errors.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>

namespace kudo {

constexpr off_t most_kept = 64 << 10;

Result<QuietErrors> QuietErrors::begin() {
    QuietErrors errors;
    if (::isatty(STDERR_FILENO) != 1) return errors;
    errors.terminal_ = Fd(::fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, STDERR_FILENO + 1));
    errors.kept_ = Fd(::memfd_create("kudo-agent top", MFD_CLOEXEC));
    if (!errors.terminal_ || !errors.kept_) return fail_errno("cannot keep standard error");
    // Every writer at its end, also after it was cut.
    if (::fcntl(errors.kept_.get(), F_SETFL, O_APPEND) != 0 || ::dup2(errors.kept_.get(), STDERR_FILENO) < 0)
        return fail_errno("cannot keep standard error");
    return errors;
}

void QuietErrors::trim() const {
    struct stat kept {};
    if (kept_ && ::fstat(kept_.get(), &kept) == 0 && kept.st_size > most_kept) [[maybe_unused]]
        const int cut = ::ftruncate(kept_.get(), 0);
}

QuietErrors::~QuietErrors() {
    if (!kept_) return;
    ::dup2(terminal_.get(), STDERR_FILENO);
    trim();
    std::array<char, 4096> text{};
    ssize_t size = 0;
    for (off_t at = 0; (size = ::pread(kept_.get(), text.data(), text.size(), at)) > 0; at += size)
        if (::write(STDERR_FILENO, text.data(), static_cast<std::size_t>(size)) != size) return;
}

} // namespace kudo
