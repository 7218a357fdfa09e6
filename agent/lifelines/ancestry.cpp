// SPDX-License-Identifier: MIT
#include "agent/lifelines/ancestry.h"

#include <unistd.h>

#include <algorithm>
#include <string>
#include <system_error>

#include "agent/sockets/owners.h"
#include "agent/system/whole_number.h"

namespace kudo {
namespace {

constexpr std::size_t max_ancestors = 64;
constexpr int first_process = 1;

std::optional<Ancestor> read_ancestor(const std::filesystem::path& proc, int pid) {
    const auto stat = read_process_stat(proc, pid);
    if (!stat) return std::nullopt;
    Ancestor ancestor{
        .pid = pid, .stat = *stat, .login = read_login(proc, pid), .sockets = sockets_of_process(pid, proc)};
    // Not another process's that has got the number meanwhile. A program may be executed, and a parent end.
    const auto after = read_process_stat(proc, pid);
    return after && after->started == stat->started ? std::optional(std::move(ancestor)) : std::nullopt;
}

} // namespace

Ancestry own_ancestry(const std::filesystem::path& proc) {
    Ancestry ancestry;
    int pid = getpid();
    while (ancestry.processes.size() < max_ancestors) {
        if (pid == first_process || pid == 0) {
            // One of the namespace's first process's own children is adopted by it; a parent outside is 0.
            const bool is_outside = pid == 0;
            ancestry.end = is_outside ? Ancestry::End::Outside : Ancestry::End::First;
            return ancestry;
        }
        auto ancestor = read_ancestor(proc, pid);
        // A parent is older than its child, else its number is another process's by now.
        if (!ancestor ||
            (!ancestry.processes.empty() && ancestor->stat.started > ancestry.processes.back().stat.started))
            return ancestry;
        pid = ancestor->stat.parent;
        ancestry.processes.push_back(std::move(*ancestor));
    }
    return ancestry;
}

std::optional<uint32_t> last_login(const std::filesystem::path& proc) {
    std::error_code error;
    uint32_t last = 0;
    // Of hidepid (proc(5)): other users' processes would be missing.
    if (!read_login(proc, first_process)) return std::nullopt;
    for (const auto& entry : std::filesystem::directory_iterator(proc, error)) {
        const std::string name = entry.path().filename();
        const auto pid = whole_number<int>(name);
        if (!pid) continue;
        const auto login = read_login(proc, *pid);
        if (!login && std::filesystem::exists(entry.path() / "sessionid", error)) return std::nullopt;
        if (login && *login != no_login_number) last = std::max(last, *login);
    }
    return error ? std::nullopt : std::optional(last);
}

} // namespace kudo
