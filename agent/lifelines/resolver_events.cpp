// SPDX-License-Identifier: MIT
#include "agent/lifelines/resolver_events.h"

#include <sys/inotify.h>
#include <unistd.h>

#include <system_error>

namespace kudo {
namespace {

namespace fs = std::filesystem;

constexpr int max_links = 8; // that lead from one to the next
constexpr uint32_t of_folder = IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_CLOSE_WRITE | IN_MODIFY |
                               IN_ATTRIB | IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR;
// Written by another path than the one that is watched: it is bind-mounted, as in containers.
constexpr uint32_t of_file = IN_CLOSE_WRITE | IN_MODIFY | IN_ATTRIB | IN_DELETE_SELF | IN_MOVE_SELF;
constexpr uint32_t always_counts = IN_Q_OVERFLOW | IN_DELETE_SELF | IN_MOVE_SELF | IN_UNMOUNT;

} // namespace

Result<ResolverEvents> ResolverEvents::open(std::vector<fs::path> files) {
    Fd inotify(inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
    if (!inotify) return fail_errno("cannot watch the resolvers' files");
    ResolverEvents events(std::move(inotify), std::move(files));
    events.watch_all();
    if (events.watches_.empty()) return fail_errno("cannot watch the resolvers' files");
    return events;
}

// The file, each link on the way to it, and the folders that these are in. Of a folder that does not exist the nearest
// one above it that does: there it will be made.
void ResolverEvents::watch_way_to(fs::path file, Watches& watches) const {
    for (int i = 0; i < max_links; ++i) {
        fs::path folder = file.parent_path(), name = file.filename();
        int watch = -1;
        while ((watch = inotify_add_watch(inotify_.get(), folder.c_str(), of_folder)) < 0 &&
               folder.has_relative_path()) {
            name = folder.filename();
            folder = folder.parent_path();
        }
        if (watch >= 0) watches[watch].insert(name);
        std::error_code error;
        const fs::path target = fs::read_symlink(file, error);
        if (error) break;
        file = (file.parent_path() / target).lexically_normal();
    }
    if (const int watch = inotify_add_watch(inotify_.get(), file.c_str(), of_file); watch >= 0) watches[watch];
}

void ResolverEvents::watch_all() {
    Watches watches;
    for (const fs::path& file : files_)
        watch_way_to(file, watches);
    for (const auto& [watch, of_files] : watches_)
        if (!watches.contains(watch)) inotify_rm_watch(inotify_.get(), watch);
    watches_ = std::move(watches);
}

bool ResolverEvents::take() {
    bool changed = false;
    alignas(inotify_event) char buffer[16384];
    for (ssize_t got; (got = read(inotify_.get(), buffer, sizeof buffer)) > 0;) {
        for (const char* at = buffer; at < buffer + got;) {
            const auto* event = reinterpret_cast<const inotify_event*>(at);
            at += sizeof *event + event->len;
            const auto watched = watches_.find(event->wd);
            if (event->mask & IN_Q_OVERFLOW) changed = true;
            if (watched == watches_.end()) continue; // of a watch that is gone
            changed |= (event->mask & always_counts) != 0 || event->len == 0 || watched->second.empty() ||
                       watched->second.contains(event->name);
        }
    }
    // The way to them may be another one now.
    if (changed) watch_all();
    return changed;
}

} // namespace kudo
