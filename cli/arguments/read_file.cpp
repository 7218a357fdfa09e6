// SPDX-License-Identifier: MIT
#include "cli/arguments/read_file.h"

#include <algorithm>
#include <system_error>

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>

#include "agent/system/fd.h"
#include "maps/document/range_map.h"

namespace kudo {
namespace {

tl::unexpected<Error> refuse(const std::string& path, std::string_view why) {
    return bad_input(fmt::format("{}: {}", path.empty() ? "\"\"" : path, why));
}

tl::unexpected<Error> refuse_errno(const std::string& path) {
    return refuse(path, fmt::format("cannot read it: {}", std::generic_category().message(errno)));
}

} // namespace

Result<std::string> read_range_file(const std::string& path) {
    const Fd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
    if (!file) return refuse_errno(path);
    struct stat about = {};
    if (::fstat(file.get(), &about) != 0) return refuse_errno(path);
    if (!S_ISREG(about.st_mode)) return refuse(path, "not a regular file; name the file of a range map");

    std::string text(range_map_max_bytes + 1, '\0');
    std::size_t size = 0;
    while (size < text.size()) {
        const ssize_t got = ::read(file.get(), text.data() + size, text.size() - size);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return refuse_errno(path);
        if (got == 0) break;
        size += static_cast<std::size_t>(got);
    }
    if (size > range_map_max_bytes)
        return refuse(path,
                      fmt::format("larger than {} bytes, the most that a range map may have", range_map_max_bytes));
    text.resize(size);
    return text;
}

} // namespace kudo
