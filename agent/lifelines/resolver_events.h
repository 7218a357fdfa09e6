// SPDX-License-Identifier: MIT
// Tells when the files that name this host's resolvers may have changed: written, replaced by rename, deleted, or
// reached by another symbolic link, as with systemd-resolved, resolvconf and DHCP clients. Invariant: says that
// something changed, not what: the caller reads the current files. Lost events count as a change. A mount over one of
// them is not seen.
#pragma once

#include <filesystem>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "agent/system/fd.h"
#include "maps/base/result.h"

namespace kudo {

class ResolverEvents {
public:
    // Of resolver_files() (host_facts.h), or others.
    static Result<ResolverEvents> open(std::vector<std::filesystem::path> files);
    [[nodiscard]] int fd() const { return inotify_.get(); } // readable: call take()
    // Empties it. True if any of it may be about the files.
    bool take();

private:
    // Of a folder: those of its names that lead to a file; of a file itself none.
    using Watches = std::map<int, std::set<std::string>>;

    ResolverEvents(Fd inotify, std::vector<std::filesystem::path> files)
        : inotify_(std::move(inotify)), files_(std::move(files)) {}
    void watch_all();
    void watch_way_to(std::filesystem::path file, Watches& watches) const;

    Fd inotify_;
    std::vector<std::filesystem::path> files_;
    Watches watches_;
};

} // namespace kudo
