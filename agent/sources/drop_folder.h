// SPDX-License-Identifier: MIT
// Range maps that are put into a folder: by Ansible, Salt, Puppet, a person with scp.
// Invariant: only regular files directly in the folder are read, never through a symbolic link; a folder that is
// absent, replaced or unmounted is a problem that heals by itself, never an error.
#pragma once

#include <chrono>
#include <filesystem>
#include <map>
#include <memory>
#include <utility>

#include <sys/types.h>

#include "agent/sources/source.h"
#include "agent/system/event_loop.h"

namespace kudo {

// Delivers every X.json that has X.json.minisig beside it, hidden files excepted. A map without its signature is a
// problem once it has settled, for nothing else would tell the person who put it there.
//
// A folder or a file that is writable by others is read nevertheless: what counts is the signature. It is only logged:
// there others can remove maps, or put back old ones, which the serials refuse.
//
// For local file systems. Over NFS the kernel reports only this host's changes: there the service's read_again() finds
// those of others.
class DropFolder : public Source {
public:
    // An Error only without descriptors; the folder need not be there. `settle`: how long after the last event about a
    // map or its signature both are read, for they come one after the other; at most ten times as long after the first.
    static Result<std::unique_ptr<DropFolder>> open(std::filesystem::path folder,
                                                    std::chrono::milliseconds settle = std::chrono::seconds(2));

    [[nodiscard]] std::string name() const override;
    [[nodiscard]] int fd() const override { return epoll_.fd(); }
    // A few files at a time: fd() stays readable while there are more.
    void on_ready(const Deliver& deliver) override;
    // What is being written is left to settle first.
    void read_again(const Deliver& deliver) override;
    [[nodiscard]] SourceHealth health() const override;

private:
    using Clock = Timer::Clock;
    struct Waiting {
        Clock::time_point since, due;
        bool always = false; // deliver it even if it has not changed
    };
    // What is known of one map, by its name. Never more than max_maps of them.
    struct Known {
        std::string delivered; // the hashes of document and signatures; empty: nothing
        std::optional<Waiting> waiting;
        std::string problem;
    };
    using Identity = std::pair<dev_t, ino_t>;

    DropFolder(std::filesystem::path folder, std::chrono::milliseconds settle, Epoll epoll, Timer timer);
    void read_events();
    void event_of(const std::string& name);
    void check_folder();
    void watch();
    void lose(std::string problem);
    [[nodiscard]] std::optional<Identity> identity() const;
    Fd open_folder();
    void scan(Clock::time_point due, bool always);
    Known* know(const std::string& name);
    void read_due(const Deliver& deliver);
    void read_pair(const Fd& folder, const std::string& name, bool always, const Deliver& deliver);
    void finish();

    std::filesystem::path folder_;
    std::chrono::milliseconds settle_;
    Epoll epoll_;
    Timer timer_;
    Fd inotify_;       // none: the folder is not watched
    Identity watched_; // the folder that inotify_ watches
    Clock::time_point next_check_;
    std::map<std::string, Known> known_;
    std::string folder_problem_;
    bool too_many_ = false;
    bool unmounted_ = false;  // and no map has been seen since
    bool all_always_ = false; // read_again() has found no folder
    bool has_read_ = false;   // since the last finish()
    std::optional<Time> last_read_;
};

} // namespace kudo
