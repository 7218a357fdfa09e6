// SPDX-License-Identifier: MIT
#include "agent/sources/drop_folder.h"

#include <fcntl.h>
#include <sys/inotify.h>
#include <sys/stat.h>

#include <algorithm>
#include <cstring>
#include <vector>

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include "agent/system/files.h"
#include "agent/system/uptime.h"
#include "maps/base/hash.h"
#include "maps/base/text.h"
#include "maps/trust/minisign.h"

namespace kudo {
namespace {

constexpr std::string_view map_suffix = ".json", signature_suffix = ".minisig";
constexpr std::size_t max_maps = 1024, max_entries = 65536;
constexpr int maps_at_a_time = 16, events_at_a_time = 64;
// There is no event for a folder that appears, a file system mounted over it, a symbolic link above it that is changed.
constexpr std::chrono::seconds check_every{3};
constexpr int max_settle = 10; // times the settle time
constexpr uint32_t file_events =
    IN_CREATE | IN_MODIFY | IN_CLOSE_WRITE | IN_ATTRIB | IN_MOVED_FROM | IN_MOVED_TO | IN_DELETE;
constexpr uint32_t folder_events = IN_DELETE_SELF | IN_MOVE_SELF;

// The name of the map that a file of this name belongs to; empty: none.
std::string map_of(std::string_view name) {
    if (name.starts_with('.')) return {};
    if (name.ends_with(signature_suffix)) name.remove_suffix(signature_suffix.size());
    return name.ends_with(map_suffix) ? std::string(name) : std::string();
}

struct Maps {
    std::vector<std::string> names;
    bool all = true;
};
Result<Maps> list_maps(const Fd& folder) {
    Maps maps;
    std::error_code error;
    // Opened again, through the descriptor: a listing has its own place in the folder.
    std::filesystem::directory_iterator entry(fmt::format("/proc/self/fd/{}", folder.get()), error);
    for (std::size_t entries = 0; !error && entry != std::filesystem::directory_iterator(); entry.increment(error)) {
        maps.all = entries++ < max_entries && maps.names.size() <= max_maps;
        if (!maps.all) break;
        std::string name = entry->path().filename();
        if (name.ends_with(map_suffix) && !map_of(name).empty()) maps.names.push_back(std::move(name));
    }
    if (error) return fail("cannot be listed: " + error.message(), error.value());
    return maps;
}

} // namespace

Result<std::unique_ptr<DropFolder>> DropFolder::open(std::filesystem::path folder, std::chrono::milliseconds settle) {
    if (folder.empty()) return bad_input("the path of the drop folder is empty");
    std::error_code error;
    folder = std::filesystem::absolute(folder, error).lexically_normal();
    if (error) return fail(fmt::format("{}: {}", folder.string(), error.message()), error.value());
    if (!folder.has_filename() && folder.has_relative_path()) folder = folder.parent_path(); // "/srv/maps/"
    auto epoll = KUDO_TRY(Epoll::create().in(folder.string()));
    auto timer = KUDO_TRY(Timer::create().in(folder.string()));
    KUDO_TRY(epoll.watch(timer.fd(), EPOLLIN).in(folder.string()));
    std::unique_ptr<DropFolder> made(new DropFolder(std::move(folder), std::max(settle, std::chrono::milliseconds(0)),
                                                    std::move(epoll), std::move(timer)));
    made->next_check_ = Clock::now() + check_every;
    made->watch();
    made->finish();
    return made;
}

DropFolder::DropFolder(std::filesystem::path folder, std::chrono::milliseconds settle, Epoll epoll, Timer timer)
    : folder_(std::move(folder)), settle_(settle), epoll_(std::move(epoll)), timer_(std::move(timer)), watched_{} {}

std::string DropFolder::name() const {
    return escaped(folder_.string(), 300);
}

SourceHealth DropFolder::health() const {
    if (!folder_problem_.empty()) return {last_read_, folder_problem_};
    if (unmounted_) return {last_read_, fmt::format("{}: was unmounted, and has contained no range map since", name())};
    if (too_many_)
        return {last_read_,
                fmt::format("{}: contains more than {} range maps; the others are not read", name(), max_maps)};
    const auto has_problem = [](const auto& entry) { return !entry.second.problem.empty(); };
    const auto first = std::find_if(known_.begin(), known_.end(), has_problem);
    if (first == known_.end()) return {last_read_, ""};
    const auto others = std::count_if(std::next(first), known_.end(), has_problem);
    return {last_read_, first->second.problem + (others == 0 ? "" : fmt::format(" (and {} more files)", others))};
}

void DropFolder::on_ready(const Deliver& deliver) {
    read_events();
    if (Clock::now() >= next_check_) check_folder();
    read_due(deliver);
    finish();
}

void DropFolder::read_again(const Deliver& deliver) {
    read_events();
    all_always_ = true;
    check_folder();
    scan(Clock::now(), true);
    read_due(deliver);
    finish();
}

void DropFolder::read_events() {
    alignas(inotify_event) char buffer[4096];
    for (int turn = 0; turn < events_at_a_time && inotify_; turn++) {
        const ssize_t got = read(inotify_.get(), buffer, sizeof buffer);
        if (got <= 0) return;
        for (ssize_t at = 0; at < got && inotify_;) {
            inotify_event event;
            std::memcpy(&event, buffer + at, sizeof event);
            const char* const name = buffer + at + sizeof event;
            at += static_cast<ssize_t>(sizeof event + event.len);
            if ((event.mask & IN_Q_OVERFLOW) != 0) {
                scan(Clock::now() + settle_, false);
            } else if ((event.mask & IN_UNMOUNT) != 0) {
                unmounted_ = true;
                lose(fmt::format("{}: was unmounted", this->name()));
                next_check_ = Clock::now();
            } else if ((event.mask & (folder_events | IN_IGNORED)) != 0) {
                lose(fmt::format("{}: was removed or renamed", this->name()));
                next_check_ = Clock::now();
            } else if (event.len > 0) {
                event_of(name);
            }
        }
    }
}

void DropFolder::event_of(const std::string& name) {
    const std::string map = map_of(name);
    Known* const known = map.empty() ? nullptr : know(map);
    if (known == nullptr) return;
    const auto now = Clock::now();
    if (!known->waiting) known->waiting = Waiting{now, now, false};
    // The first limit is for a file that never stops growing.
    known->waiting->due = std::min(now + settle_, known->waiting->since + max_settle * settle_);
}

DropFolder::Known* DropFolder::know(const std::string& name) {
    if (const auto found = known_.find(name); found != known_.end()) return &found->second;
    if (known_.size() < max_maps) return &known_[name];
    too_many_ = true;
    return nullptr;
}

std::optional<DropFolder::Identity> DropFolder::identity() const {
    struct stat about {};
    if (stat(folder_.c_str(), &about) != 0) return std::nullopt;
    return Identity{about.st_dev, about.st_ino};
}

// An open folder cannot be unmounted, and there is no event for its removal: it is only open while something is read.
Fd DropFolder::open_folder() {
    Fd folder(::open(folder_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!folder) {
        const int number = errno;
        lose(fmt::format("{}: {}", name(), strerror(number)));
        return {};
    }
    struct stat about {};
    if (inotify_ && (fstat(folder.get(), &about) != 0 || Identity{about.st_dev, about.st_ino} != watched_)) {
        lose(fmt::format("{}: was replaced by another folder", name()));
        return {};
    }
    return folder;
}

void DropFolder::lose(std::string problem) {
    folder_problem_ = std::move(problem);
    inotify_ = Fd();
    next_check_ = Clock::now() + check_every;
    for (auto& [name, known] : known_) {
        all_always_ = all_always_ || (known.waiting && known.waiting->always);
        known.waiting.reset(); // what is there when it is back is read then
    }
}

void DropFolder::check_folder() {
    next_check_ = Clock::now() + check_every;
    if (inotify_ && identity() == watched_) return;
    watch();
    if (inotify_) scan(Clock::now() + settle_, all_always_);
}

void DropFolder::watch() {
    const auto cannot = [&](std::string_view what, int number) {
        lose(fmt::format("{}: {}{}", name(), what, strerror(number)));
    };
    inotify_ = Fd();
    struct stat about {};
    if (stat(folder_.c_str(), &about) != 0) return cannot("", errno);
    if (!S_ISDIR(about.st_mode)) return cannot("", ENOTDIR);
    Fd inotify(inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
    if (!inotify) return cannot("cannot be watched: ", errno);
    if (inotify_add_watch(inotify.get(), folder_.c_str(), file_events | folder_events | IN_ONLYDIR) < 0)
        return cannot(
            errno == ENOSPC ? "cannot be watched; raise fs.inotify.max_user_watches: " : "cannot be watched: ", errno);
    // Is it the one that is watched? If not, it was replaced in between.
    const Identity before{about.st_dev, about.st_ino};
    if (identity() != before) return cannot("is being replaced: ", EAGAIN);
    if (auto watched = epoll_.watch(inotify.get(), EPOLLIN); !watched) return cannot("cannot be watched: ", errno);
    inotify_ = std::move(inotify);
    watched_ = before;
    folder_problem_.clear();
    if ((about.st_mode & (S_IWGRP | S_IWOTH)) != 0)
        spdlog::warn("{}: writable by others than its owner; only signatures protect its range maps", name());
}

void DropFolder::scan(Clock::time_point due, bool always) {
    const Fd folder = open_folder();
    if (!folder) return;
    auto maps = list_maps(folder);
    if (!maps) {
        lose(fmt::format("{}: {}", name(), maps.error().message));
        return;
    }
    has_read_ = true;
    if (always) all_always_ = false;
    if (maps->all) {
        std::sort(maps->names.begin(), maps->names.end());
        std::erase_if(known_, [&](const auto& entry) {
            return !std::binary_search(maps->names.begin(), maps->names.end(), entry.first);
        });
    }
    too_many_ = !maps->all;
    if (!maps->names.empty()) unmounted_ = false;
    for (const std::string& map : maps->names) {
        Known* const known = know(map);
        if (known == nullptr) continue;
        if (!known->waiting) known->waiting = Waiting{Clock::now(), due, false};
        known->waiting->always = known->waiting->always || always;
    }
}

void DropFolder::read_due(const Deliver& deliver) {
    const auto now = Clock::now();
    std::vector<std::string> due;
    for (const auto& [name, known] : known_)
        if (known.waiting && known.waiting->due <= now && due.size() < maps_at_a_time) due.push_back(name);
    if (due.empty()) return;
    const Fd folder = open_folder();
    if (!folder) return;
    for (const std::string& name : due) {
        const bool always = known_[name].waiting->always;
        known_[name].waiting.reset();
        read_pair(folder, name, always, deliver);
    }
}

void DropFolder::read_pair(const Fd& folder, const std::string& name, bool always, const Deliver& deliver) {
    const std::string shown = escaped((folder_ / name).string(), 600);
    has_read_ = true;
    auto document = read_file_at(folder, name, range_map_max_bytes, shown);
    if (!document && document.error().number == ENOENT) {
        known_.erase(name);
        return;
    }
    unmounted_ = false;
    Known& known = known_[name];
    if (!document) {
        known.problem = document.error().message;
        return;
    }
    auto signatures = read_file_at(folder, name + std::string(signature_suffix), signatures_max_bytes,
                                   shown + std::string(signature_suffix));
    if (!signatures) {
        known.problem = signatures.error().number == ENOENT ? fmt::format("{}: not read: its signature {}{} is missing",
                                                                          shown, escaped(name, 300), signature_suffix)
                                                            : signatures.error().message;
        return;
    }
    known.problem.clear();
    std::string hashes = content_hash(*document) + content_hash(*signatures);
    if (!always && known.delivered == hashes) return;
    known.delivered = std::move(hashes);
    deliver(Delivery{shown, std::move(*document), std::move(*signatures), false});
}

void DropFolder::finish() {
    auto next = next_check_;
    bool waits = false;
    for (const auto& [name, known] : known_) {
        if (!known.waiting) continue;
        waits = true;
        next = std::min(next, known.waiting->due);
    }
    if (has_read_ && !waits) {
        has_read_ = false;
        if (health().problem.empty()) last_read_ = wall_time();
    }
    timer_.set(next);
}

} // namespace kudo
