// SPDX-License-Identifier: MIT
#include "agent/system/ownership.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <memory>
#include <string_view>

#include "agent/system/fd.h"
#include "agent/system/files.h"

namespace kudo {
namespace {

constexpr int only_folders = O_RDONLY | O_DIRECTORY | O_CLOEXEC;
constexpr unsigned max_depth = 8;

struct Owner {
    uid_t user;
    gid_t group;
};

struct CloseFolder {
    void operator()(DIR* folder) const { closedir(folder); }
};

// By descriptors: who owns the folder may put other things in its names' places meanwhile. A file with a second name
// may be anybody's.
void give_folder(const Fd& folder, const Owner& owner, unsigned depth) {
    if (!folder || depth == 0) return;
    [[maybe_unused]] int given = fchown(folder.get(), owner.user, owner.group);
    const std::unique_ptr<DIR, CloseFolder> entries(fdopendir(openat(folder.get(), ".", only_folders)));
    if (!entries) return;
    while (const dirent* entry = readdir(entries.get())) {
        const std::string_view name = entry->d_name;
        struct stat about {};
        if (name == "." || name == ".." || fstatat(folder.get(), entry->d_name, &about, AT_SYMLINK_NOFOLLOW) != 0)
            continue;
        if (S_ISDIR(about.st_mode))
            give_folder(Fd(openat(folder.get(), entry->d_name, only_folders | O_NOFOLLOW)), owner, depth - 1);
        else if (about.st_nlink == 1 && (about.st_uid != owner.user || about.st_gid != owner.group))
            given = fchownat(folder.get(), entry->d_name, owner.user, owner.group, AT_SYMLINK_NOFOLLOW);
    }
}

void give_instance(const Instance& instance, const Owner& owner) {
    give_folder(Fd(open(instance.state_dir.c_str(), only_folders)), owner, max_depth);
    give_folder(Fd(open(instance.pins().c_str(), only_folders | O_NOFOLLOW)), owner, max_depth);
}

} // namespace

Result<void> give_instance_to(const Instance& instance, uid_t user, gid_t group) {
    KUDO_TRY(make_folder(instance.state_dir));
    give_instance(instance, {user, group});
    struct stat about {};
    if (stat(instance.state_dir.c_str(), &about) == 0 && about.st_uid == user) return {};
    return fail(Error{ErrorKind::NotPermitted,
                      instance.state_dir.string() + ": cannot be given to the service's user; run as root", EPERM});
}

void let_group_enter(const Instance& instance, gid_t group) {
    const Fd folder(open(instance.bpffs.c_str(), only_folders));
    struct stat about {};
    if (!folder || fstat(folder.get(), &about) != 0 || about.st_gid != 0 || (about.st_mode & S_IXOTH) != 0) return;
    if (fchown(folder.get(), static_cast<uid_t>(-1), group) != 0) return;
    [[maybe_unused]] const int allowed = fchmod(folder.get(), (about.st_mode & ALLPERMS) | S_IXGRP);
}

void give_to_owner(const Instance& instance) {
    struct stat about {};
    if (geteuid() != 0 || stat(instance.state_dir.c_str(), &about) != 0 || about.st_uid == 0) return;
    give_instance(instance, {about.st_uid, about.st_gid});
}

} // namespace kudo
