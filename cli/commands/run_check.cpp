// SPDX-License-Identifier: MIT
#include "cli/commands/run_check.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstring>

#include <fmt/format.h>

#include "agent/query/socket.h"
#include "agent/system/fd.h"
#include "agent/system/instance.h"
#include "maps/base/text.h"

namespace kudo {
namespace {

// What systemd/kudo-agent.service.in sets.
constexpr struct {
    const char *folder, *setting;
} hidden_by_unit[] = {
    {"/home", "ProtectHome=yes"}, {"/root", "ProtectHome=yes"},   {"/run/user", "ProtectHome=yes"},
    {"/tmp", "PrivateTmp=yes"},   {"/var/tmp", "PrivateTmp=yes"},
};

constexpr const char* unit_logs = "/var/log/kudo-agent"; // LogsDirectory=

bool is_below(const std::filesystem::path& path, const std::filesystem::path& folder) {
    const auto relative = path.lexically_relative(folder);
    return !relative.empty() && *relative.begin() != "..";
}

// May the user do this (4: read, 1: search), whose capabilities do not override modes?
bool modes_let(const ServiceUser& user, const std::filesystem::path& path, mode_t what) {
    struct stat about {};
    if (stat(path.c_str(), &about) != 0) return true; // cannot know
    const int shift = about.st_uid == user.user ? 6 : about.st_gid == user.group ? 3 : 0;
    return (about.st_mode >> shift & what) == what;
}

// The first part of the path that keeps the user out; empty: none.
std::filesystem::path closed_to(const ServiceUser& user, const std::filesystem::path& path, bool is_folder) {
    std::filesystem::path part;
    for (const auto& name : path.parent_path())
        if (part /= name; !modes_let(user, part, 1)) return part;
    return modes_let(user, path, is_folder ? 5 : 4) ? std::filesystem::path() : path;
}

Result<void> check_there(const NamedPath& named, const std::string& shown) {
    const Fd file(open(named.path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
    if (!file) {
        const int number = errno;
        if (number == EACCES)
            return fail(Error{ErrorKind::NotPermitted, fmt::format("{}: {}", shown, strerror(number)), number});
        return bad_input(fmt::format("{}: {}", shown, strerror(number)));
    }
    struct stat about {};
    if (fstat(file.get(), &about) != 0) return fail_errno(shown);
    if (named.kind == NamedPath::File && !S_ISREG(about.st_mode))
        return bad_input(fmt::format("{}: not a regular file", shown));
    if (named.kind == NamedPath::Folder && !S_ISDIR(about.st_mode))
        return bad_input(fmt::format("{}: not a folder", shown));
    return {};
}

Result<void> check_appended(const NamedPath& named, const std::string& shown) {
    struct stat about {};
    if (lstat(named.path.c_str(), &about) == 0) {
        if (S_ISLNK(about.st_mode)) return bad_input(fmt::format("{}: a symbolic link, which is not followed", shown));
        if (!S_ISREG(about.st_mode)) return bad_input(fmt::format("{}: not a regular file", shown));
        return {};
    }
    const std::filesystem::path folder = named.path.parent_path();
    if (folder.lexically_normal() == unit_logs) return {}; // systemd makes it
    std::error_code error;
    if (!std::filesystem::is_directory(folder, error))
        return bad_input(fmt::format("{}: there is no folder {}", shown, escaped(folder.string(), 300)));
    return {};
}

} // namespace

ServiceUser unit_user() {
    constexpr auto nobodys = static_cast<uid_t>(-1); // not installed yet: what everybody may
    const auto found = find_service_user(unit_user_name);
    return found && *found ? **found : ServiceUser{nobodys, nobodys};
}

Result<std::vector<std::string>> check_path(const NamedPath& named, const ServiceUser& user) {
    const std::string shown = fmt::format("{}: {}", named.option, escaped(named.path.string(), 300));
    const bool is_written = named.kind == NamedPath::Written || named.kind == NamedPath::Appended;
    if (named.kind == NamedPath::Appended)
        KUDO_TRY(check_appended(named, shown));
    else if (!is_written)
        KUDO_TRY(check_there(named, shown));
    std::error_code error;
    const auto real = std::filesystem::weakly_canonical(
        named.kind == NamedPath::Appended ? named.path.parent_path() : named.path, error);
    if (error) return bad_input(fmt::format("{}: {}", shown, error.message()));
    std::vector<std::string> warnings;
    bool is_hidden = false;
    for (const auto& [folder, setting] : hidden_by_unit)
        if (is_below(real, folder)) {
            warnings.push_back(fmt::format("{}: kudo-agent.service does not see {}, for {}; use another place, or "
                                           "change that with systemctl edit kudo-agent",
                                           shown, folder, setting));
            is_hidden = true;
        }
    if (is_hidden) return warnings;
    if (is_written) {
        const auto runtime = std::filesystem::path(default_query_socket).parent_path(); // RuntimeDirectory=
        if (!is_below(real, default_state_dir) && !is_below(real, default_bpffs) && !is_below(real, runtime) &&
            !is_below(real, unit_logs))
            warnings.push_back(fmt::format("{}: kudo-agent.service may not write there, for ProtectSystem=strict; add "
                                           "ReadWritePaths={} with systemctl edit kudo-agent",
                                           shown, escaped(real.string(), 300)));
    } else if (const auto closed = closed_to(user, real, named.kind == NamedPath::Folder); !closed.empty()) {
        warnings.push_back(fmt::format("{}: the mode of {} does not let the user {} read it, as whom "
                                       "kudo-agent.service runs; {}",
                                       shown, escaped(closed.string(), 300), unit_user_name,
                                       closed == real && named.kind == NamedPath::File
                                           ? "give it to that user (chown, chmod 400)"
                                           : "let that user enter it (chmod o+rx)"));
    }
    return warnings;
}

} // namespace kudo
