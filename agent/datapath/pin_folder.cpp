// SPDX-License-Identifier: MIT
#include "agent/datapath/pin_folder.h"

#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include <algorithm>
#include <charconv>

#include <fmt/format.h>
#include <linux/magic.h>
#include <spdlog/spdlog.h>

#include "agent/system/mount_namespace.h"
#include "bpf/abi.h"

namespace kudo {
namespace fs = std::filesystem;
namespace {

// An empty folder in the bpffs that says that kudo-agent mounted it: it lives exactly as long as the mount.
fs::path mount_marker(const Instance& instance) {
    return instance.pins() / "mounted_by_kudo_agent";
}

// The same for a folder that kudo-agent made for `--bpffs`.
fs::path folder_marker(const Instance& instance) {
    return instance.pins() / "made_by_kudo_agent";
}

// Whose data path it is, as a symbolic link's target: a pin's folder can hold no file.
fs::path owner_link(const fs::path& layout) {
    return layout / "owner";
}
Result<std::string> owner_text(const Instance& instance) {
    struct stat network {};
    if (stat("/proc/thread-self/ns/net", &network) != 0) return fail_errno("/proc/self/ns/net");
    std::error_code error;
    const auto state = fs::absolute(instance.state_dir, error).lexically_normal();
    return fmt::format("{} {}", network.st_ino, state.string());
}

bool is_bpffs(const fs::path& path) {
    struct statfs about {};
    return statfs(path.c_str(), &about) == 0 && about.f_type == BPF_FS_MAGIC;
}

Result<void> remove_tree(const fs::path& path) {
    std::error_code error;
    fs::remove_all(path, error);
    if (error) return fail(fmt::format("{}: cannot remove: {}", path.string(), error.message()), error.value());
    return {};
}

// The parts of a layout's folder that say what is attached, or what is to be restored.
constexpr const char* attached_parts[] = {"links", "filters", "queues"};

Result<void> move_entries(const fs::path& from, const fs::path& to) {
    std::error_code error;
    for (const auto& entry : fs::directory_iterator(from, error)) {
        const fs::path target = to / entry.path().filename();
        if (fs::exists(fs::symlink_status(target))) continue; // a newer one's has the place
        if (rename(entry.path().c_str(), target.c_str()) != 0)
            return fail_errno(entry.path().string() + ": cannot take it over");
    }
    return {};
}

// Moves what is attached, and the programs that it runs, into folders whose names begin so.
Result<void> move_attached(const fs::path& from, const fs::path& to, const std::string& programs) {
    for (const char* part : attached_parts) {
        if (!fs::exists(from / part)) continue;
        KUDO_TRY(make_pin_folder(to / part));
        KUDO_TRY(move_entries(from / part, to / part));
    }
    std::error_code error;
    for (const auto& entry : fs::directory_iterator(from, error)) {
        const std::string name = entry.path().filename();
        if (!name.starts_with("programs_")) continue;
        const fs::path target = to / (programs + name.substr(name.find('_') + 1));
        KUDO_TRY(make_pin_folder(target));
        KUDO_TRY(move_entries(entry.path(), target));
    }
    return {};
}

bool anything_attached(const fs::path& folder) {
    std::error_code error;
    return std::ranges::any_of(attached_parts, [&](const char* part) {
        return fs::directory_iterator(folder / part, error) != fs::directory_iterator();
    });
}

// Folders that a killed command was making or removing. Call after recover_layout(): nothing in them is attached.
Result<void> remove_leftovers(const Instance& instance) {
    for (const char* suffix : {"_new", "_old"})
        KUDO_TRY(remove_tree(instance.layout().string() + suffix));
    return {};
}

} // namespace

Result<void> prepare_pin_folder(const Instance& instance) {
    bool mounted = false, made = false;
    if (!is_bpffs(instance.bpffs) && instance.bpffs == default_bpffs) {
        if (!in_host_mount_namespace())
            return bad_input(
                fmt::format("{}: no bpffs is mounted, and one mounted in this mount namespace would disappear with it; "
                            "enter network namespaces with nsenter --net=FILE, or mount a persistent bpffs and "
                            "pass it with --bpffs",
                            default_bpffs));
        if (mount("bpf", default_bpffs, "bpf", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=0700") != 0)
            return fail_errno(fmt::format("{}: cannot mount a bpffs", default_bpffs));
        mounted = true;
    }
    // A custom folder is made if its parent is on a bpffs.
    if (!is_bpffs(instance.bpffs) && is_bpffs(instance.bpffs.parent_path())) {
        made = !fs::exists(instance.bpffs);
        KUDO_TRY(make_pin_folder(instance.bpffs));
    }
    if (!is_bpffs(instance.bpffs))
        return bad_input(fmt::format("--bpffs {}: not a folder on a bpffs; mount one: mount -t bpf bpf {}",
                                     instance.bpffs.string(), instance.bpffs.string()));
    KUDO_TRY(make_pin_folder(instance.pins()));
    if (mounted) KUDO_TRY(make_pin_folder(mount_marker(instance)));
    if (made) KUDO_TRY(make_pin_folder(folder_marker(instance)));
    KUDO_TRY(recover_layout(instance));
    return remove_leftovers(instance);
}

Result<void> remove_pin_folder(const Instance& instance) {
    if (!fs::exists(instance.pins())) return {};
    const auto old = instance.layout().string() + "_old";
    KUDO_TRY(remove_tree(old));
    if (rename(instance.layout().c_str(), old.c_str()) != 0 && errno != ENOENT)
        return fail_errno(instance.layout().string() + ": cannot remove");
    KUDO_TRY(remove_leftovers(instance));

    const bool ours = fs::exists(mount_marker(instance)), made = fs::exists(folder_marker(instance));
    rmdir(mount_marker(instance).c_str());
    rmdir(folder_marker(instance).c_str());
    // Another version's layout stays, and with it the folder.
    if (rmdir(instance.pins().c_str()) != 0 && errno != ENOTEMPTY) return fail_errno(instance.pins().string());
    if (made) rmdir(instance.bpffs.c_str());
    if (ours && instance.bpffs == default_bpffs) {
        // Only if nothing else has been pinned there since; the kernel's own two files are in every bpffs.
        for (const auto& entry : fs::directory_iterator(default_bpffs))
            if (entry.path().filename() != "maps.debug" && entry.path().filename() != "progs.debug") return {};
        if (umount(default_bpffs) != 0) spdlog::debug("{} stays mounted: {}", default_bpffs, strerror(errno));
    }
    return {};
}

Result<void> make_pin_folder(const fs::path& path) {
    if (mkdir(path.c_str(), 0700) == 0 || errno == EEXIST) return {};
    const int number = errno;
    return fail(Error{number == EACCES || number == EPERM ? ErrorKind::NotPermitted : ErrorKind::Failed,
                      fmt::format("{}: cannot make the folder: {}", path.string(), strerror(number)), number});
}

bool has_pins(const Instance& instance) {
    std::error_code error;
    for (const char* suffix : {"_new", "_old"})
        if (fs::exists(instance.layout().string() + suffix, error)) return true;
    return !pinned_layouts(instance).empty();
}

Result<void> write_owner(const Instance& instance, const fs::path& layout) {
    auto owner = KUDO_TRY(owner_text(instance));
    if (symlink(owner.c_str(), owner_link(layout).c_str()) != 0) return fail_errno("cannot write the owner");
    return {};
}

std::vector<PinnedLayout> pinned_layouts(const Instance& instance) {
    std::vector<PinnedLayout> layouts;
    std::error_code error;
    for (const auto& entry : fs::directory_iterator(instance.pins(), error)) {
        const std::string name = entry.path().filename();
        unsigned version = 0;
        const auto [end, wrong] = std::from_chars(name.data() + 1, name.data() + name.size(), version);
        if (name[0] == 'v' && wrong == std::errc{} && end == name.data() + name.size())
            layouts.push_back({entry.path(), version});
    }
    std::ranges::sort(layouts, {}, &PinnedLayout::version);
    return layouts;
}

Result<void> remove_layout(const fs::path& folder) {
    return remove_tree(folder);
}

Result<void> adopt_layouts(const Instance& instance, const fs::path& into) {
    auto layouts = pinned_layouts(instance);
    std::ranges::reverse(layouts);
    for (const auto& [folder, version] : layouts)
        if (version <= KUDO_LAYOUT_VERSION) // not as this build's own programs, which use other maps
            KUDO_TRY(move_attached(folder, into, fmt::format("programs_of_v{}_", version)));
    return {};
}

Result<void> recover_layout(const Instance& instance) {
    const fs::path staging = instance.layout().string() + "_new";
    if (!anything_attached(staging)) return {};
    // The layouts that it took from, which are there until it has taken all.
    auto layouts = pinned_layouts(instance);
    std::erase_if(layouts, [](const PinnedLayout& layout) { return layout.version > KUDO_LAYOUT_VERSION; });
    if (!layouts.empty()) return move_attached(staging, layouts.back().folder, "programs_");
    if (rename(staging.c_str(), instance.layout().c_str()) != 0)
        return fail_errno(staging.string() + ": cannot put the data path in place");
    return {};
}

uint64_t instance_of_layout(const fs::path& layout) {
    std::error_code error;
    const std::string owner = fs::read_symlink(owner_link(layout), error);
    return error ? 0 : instance_number(owner);
}

Result<void> check_layout_is_ours(const Instance& instance) {
    const std::string owner = KUDO_TRY(owner_text(instance));
    const auto split = [](const std::string& text) {
        return std::pair(text.substr(0, text.find(' ')), text.substr(text.find(' ') + 1));
    };
    for (const auto& [folder, version] : pinned_layouts(instance)) {
        std::error_code error;
        const std::string found = fs::read_symlink(owner_link(folder), error);
        if (error) continue; // its pins were tampered with: what reads them will say so
        const auto [network, state] = split(found);
        if (state != split(owner).second)
            return bad_input(fmt::format("{}: the data path there belongs to --state-dir {}, not {}", folder.string(),
                                         state, split(owner).second));
        if (network != split(owner).first)
            return bad_input(fmt::format("{}: the data path there belongs to network namespace {}, this is {}; run it "
                                         "there (nsenter --net=FILE), or use a separate --bpffs and --state-dir for "
                                         "this one",
                                         folder.string(), network, split(owner).first));
    }
    return {};
}

Result<void> check_no_newer_layout(const Instance& instance) {
    for (const auto& [folder, version] : pinned_layouts(instance))
        if (version > KUDO_LAYOUT_VERSION)
            return fail(
                fmt::format("{}: the data path of a newer version of kudo-agent is loaded; use that version, or "
                            "run kudo-agent disable first, which this version can",
                            folder.string()));
    return {};
}

} // namespace kudo
