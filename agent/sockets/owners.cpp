// SPDX-License-Identifier: MIT
#include "agent/sockets/owners.h"

#include <dirent.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <memory>
#include <optional>

#include "agent/system/whole_number.h"
#include "maps/base/text.h"

namespace kudo {
namespace {

constexpr std::size_t max_descriptors = 1'000'000;
constexpr std::size_t id_length = 12, full_id_length = 64;
constexpr std::size_t max_cgroup_file = 64 << 10;

struct FolderClose {
    void operator()(DIR* folder) const { closedir(folder); }
};
using Folder = std::unique_ptr<DIR, FolderClose>;

// "socket:[12345]"
std::optional<uint32_t> socket_inode(std::string_view link) {
    constexpr std::string_view prefix = "socket:[";
    if (!link.starts_with(prefix) || !link.ends_with(']')) return std::nullopt;
    return whole_number<uint32_t>(link.substr(prefix.size(), link.size() - prefix.size() - 1));
}

std::string read_text(const std::filesystem::path& path) {
    std::ifstream file(path, std::ios::binary);
    std::string text(max_cgroup_file, '\0');
    file.read(text.data(), static_cast<std::streamsize>(text.size()));
    text.resize(static_cast<std::size_t>(std::max<std::streamsize>(file.gcount(), 0)));
    return text;
}

SocketOwner describe(int pid, const std::filesystem::path& folder) {
    SocketOwner owner{.pid = pid};
    std::string name = read_text(folder / "comm");
    if (name.ends_with('\n')) name.pop_back();
    owner.name = escaped(name, 64);
    CgroupNames names = names_of_cgroup(read_text(folder / "cgroup"));
    owner.unit = std::move(names.unit);
    owner.container = std::move(names.container);
    return owner;
}

// Visits the inode of each socket that a process has open. False: its descriptors may not be read.
template <typename Visit> bool visit_sockets(const std::filesystem::path& folder, std::size_t& left, Visit visit) {
    const std::filesystem::path path = folder / "fd";
    const Folder descriptors(opendir(path.c_str()));
    if (!descriptors) return errno != EACCES && errno != EPERM; // else it has ended
    while (const dirent* entry = readdir(descriptors.get())) {
        if (entry->d_name[0] == '.') continue;
        if (left == 0) return true;
        left--;
        char target[64];
        const ssize_t size = readlinkat(dirfd(descriptors.get()), entry->d_name, target, sizeof target);
        if (size < 0 && (errno == EACCES || errno == EPERM)) return false;
        const auto inode = socket_inode({target, static_cast<std::size_t>(std::max<ssize_t>(size, 0))});
        if (inode) visit(*inode);
    }
    return true;
}

bool is_id(std::string_view text) {
    return text.size() == full_id_length &&
           std::ranges::all_of(text, [](char letter) { return std::isxdigit(static_cast<unsigned char>(letter)); });
}

// "docker-3f2a….scope", "libpod-….scope", "cri-containerd-….scope", "crio-….scope"; with cgroupfs the bare id below
// "/docker/", "/kubepods/…/".
std::string container_of(std::span<const std::string_view> path) {
    const bool in_pod = std::ranges::any_of(path, [](std::string_view part) { return part.starts_with("kubepods"); });
    std::string_view before;
    for (const std::string_view part : path) {
        std::string_view id = part;
        if (id.ends_with(".scope")) id.remove_suffix(6);
        const auto dash = id.rfind('-');
        const std::string_view runtime = dash == std::string_view::npos ? before : id.substr(0, dash);
        if (dash != std::string_view::npos) id.remove_prefix(dash + 1);
        before = part;
        if (!is_id(id)) continue;
        const std::string short_id(id.substr(0, id_length));
        if (in_pod) return "kubernetes " + short_id;
        if (runtime.starts_with("libpod")) return "podman " + short_id;
        if (runtime == "docker") return "docker " + short_id;
        return "container " + short_id;
    }
    return {};
}

} // namespace

CgroupNames names_of_cgroup(std::string_view lines) {
    CgroupNames names;
    // "0::/system.slice/chrony.service" of cgroups 2, "1:name=systemd:/…" of cgroups 1; the other hierarchies of
    // cgroups 1 are divided alike, or not at all.
    for (const std::string_view line : split(lines, '\n')) {
        const auto fields = split(line, ':');
        if (fields.size() < 3) continue;
        const auto at = line.find(':', line.find(':') + 1) + 1;
        const auto path = split(line.substr(at), '/');
        if (names.container.empty()) names.container = container_of(path);
        if (fields[0] != "0" && fields[1] != "name=systemd") continue;
        // The innermost: a user's service is inside of user@1000.service.
        for (const std::string_view part : path)
            if (part.ends_with(".service") || part.ends_with(".scope")) names.unit = escaped(part, 80);
    }
    if (!names.container.empty()) names.unit.clear(); // the runtime's scope says the same
    return names;
}

std::optional<std::set<uint32_t>> sockets_of_process(int pid, const std::filesystem::path& proc) {
    const std::filesystem::path folder = proc / std::to_string(pid);
    std::set<uint32_t> inodes;
    std::size_t left = max_descriptors;
    std::error_code error;
    if (!std::filesystem::exists(folder, error)) return std::nullopt;
    if (!visit_sockets(folder, left, [&](uint32_t inode) { inodes.insert(inode); }) || left == 0) return std::nullopt;
    return inodes;
}

Result<SocketOwners> owners_of(const std::set<uint32_t>& inodes, const std::filesystem::path& proc) {
    SocketOwners owners;
    if (inodes.empty()) return owners;
    const Folder processes(opendir(proc.c_str()));
    if (!processes) return fail_errno(proc.string() + ": cannot list the processes");
    std::size_t left = max_descriptors;
    while (const dirent* entry = readdir(processes.get())) {
        const auto pid = whole_number<int>(entry->d_name);
        if (!pid) continue;
        const std::filesystem::path folder = proc / entry->d_name;
        std::set<uint32_t> found;
        const auto find = [&](uint32_t inode) {
            if (inodes.contains(inode)) found.insert(inode);
        };
        if (!visit_sockets(folder, left, find)) owners.hidden++;
        if (found.empty()) continue;
        const SocketOwner owner = describe(*pid, folder);
        for (const uint32_t inode : found)
            owners.by_inode[inode].push_back(owner);
    }
    owners.cut = left == 0;
    for (auto& [inode, list] : owners.by_inode)
        std::ranges::sort(list, {}, &SocketOwner::pid);
    return owners;
}

void SocketOwners::add_to(std::vector<SocketOwner>& owners, uint32_t inode) const {
    if (const auto found = by_inode.find(inode); found != by_inode.end())
        owners.insert(owners.end(), found->second.begin(), found->second.end());
}

} // namespace kudo
