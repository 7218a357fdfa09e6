// SPDX-License-Identifier: MIT
// The folder of pins in the bpffs: making it, cleaning up after killed commands, removing it. Declared in datapath.h.
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include <fmt/format.h>
#include <linux/magic.h>
#include <spdlog/spdlog.h>

#include "agent/datapath.h"

namespace kudo {

namespace fs = std::filesystem;

namespace {

// An empty folder in the bpffs that we mounted: the memory of it lives exactly as long as the mount.
fs::path mounted_by_us(const Instance& instance) {
    return instance.pins() / "mounted_by_kudo_agent";
}

bool is_bpffs(const fs::path& path) {
    struct statfs about {};
    return statfs(path.c_str(), &about) == 0 && about.f_type == BPF_FS_MAGIC;
}

Result<void> make(const fs::path& path) {
    if (mkdir(path.c_str(), 0700) == 0 || errno == EEXIST) return {};
    const int number = errno;
    return fail(Error{number == EACCES || number == EPERM ? ErrorKind::NotPermitted : ErrorKind::Failed,
                      fmt::format("{}: cannot make the folder: {}", path.string(), strerror(number)), number});
}

Result<void> remove_tree(const fs::path& path) {
    std::error_code error;
    fs::remove_all(path, error);
    if (error) return fail(fmt::format("{}: cannot remove: {}", path.string(), error.message()), error.value());
    return {};
}

// Folders that a killed command was making or removing. Nothing in them is attached.
Result<void> remove_halves(const Instance& instance) {
    for (const char* suffix : {"_new", "_old"})
        KUDO_TRY(remove_tree(instance.layout().string() + suffix));
    return {};
}

} // namespace

Result<void> prepare_pin_folder(const Instance& instance) {
    bool mounted = false;
    if (!is_bpffs(instance.bpffs) && instance.bpffs == default_bpffs) {
        if (mount("bpf", default_bpffs, "bpf", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=0700") != 0)
            return fail_errno(fmt::format("{}: cannot mount a bpffs", default_bpffs));
        mounted = true;
    }
    // A custom folder is made if its parent is on a bpffs.
    if (!is_bpffs(instance.bpffs) && is_bpffs(instance.bpffs.parent_path())) KUDO_TRY(make(instance.bpffs));
    if (!is_bpffs(instance.bpffs))
        return bad_input(fmt::format("--bpffs {}: not a folder on a bpffs; mount one: mount -t bpf bpf {}",
                                     instance.bpffs.string(), instance.bpffs.string()));
    KUDO_TRY(make(instance.pins()));
    if (mounted) KUDO_TRY(make(mounted_by_us(instance)));
    return remove_halves(instance);
}

Result<void> remove_pin_folder(const Instance& instance) {
    if (!fs::exists(instance.pins())) return {};
    const auto old = instance.layout().string() + "_old";
    KUDO_TRY(remove_tree(old));
    if (rename(instance.layout().c_str(), old.c_str()) != 0 && errno != ENOENT)
        return fail_errno(instance.layout().string() + ": cannot remove");
    KUDO_TRY(remove_halves(instance));

    const bool ours = fs::exists(mounted_by_us(instance));
    rmdir(mounted_by_us(instance).c_str());
    // Another version's layout stays, and so does our folder then.
    if (rmdir(instance.pins().c_str()) != 0 && errno != ENOTEMPTY) return fail_errno(instance.pins().string());
    if (ours && instance.bpffs == default_bpffs) {
        // Only if nobody else has pinned anything since; the kernel's own two files are in every bpffs.
        for (const auto& entry : fs::directory_iterator(default_bpffs))
            if (entry.path().filename() != "maps.debug" && entry.path().filename() != "progs.debug") return {};
        if (umount(default_bpffs) != 0) spdlog::debug("{} stays mounted: {}", default_bpffs, strerror(errno));
    }
    return {};
}

bool has_pins(const Instance& instance) {
    std::error_code error;
    for (const char* suffix : {"", "_new", "_old"})
        if (fs::exists(instance.layout().string() + suffix, error)) return true;
    return false;
}

Result<void> check_no_foreign_layout(const Instance& instance) {
    std::error_code error;
    for (const auto& entry : fs::directory_iterator(instance.pins(), error)) {
        const std::string name = entry.path().filename();
        const std::string ours = instance.layout().filename();
        if (name.starts_with("v") && name != ours && name != ours + "_new" && name != ours + "_old")
            return fail(fmt::format("{}: the data path of another version of kudo-agent is there; run that version's "
                                    "disable first",
                                    entry.path().string()));
    }
    return {};
}

} // namespace kudo
