// SPDX-License-Identifier: MIT
// Looks the map's exact names up with this host's own name servers, so that also what these have in a cache is known.
// The queries leave as those of any program: what a program in the kernel sees of them it learns by itself, and what it
// cannot have seen (a resolver on loopback, TCP) is entered here.
// Invariant: never waits: queries are sent, and responses read, in a process without any capability, which ends when it
// has asked all names that are due. What comes from there is believed no more than what a name server says. A name that
// cannot be resolved is a problem of its own.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "agent/confined/process.h"
#include "agent/datapath/datapath.h"
#include "agent/names/lookup.h"
#include "agent/names/schedule.h"
#include "agent/system/event_loop.h"
#include "agent/system/instance.h"

namespace kudo {

class NameResolver {
public:
    static Result<NameResolver> open(const Instance& instance);
    [[nodiscard]] int fd() const { return epoll_.fd(); } // readable: call on_ready()
    void on_ready();
    // The active policy may be another one: looks which names it has.
    void follow_policy();
    // The name servers may be others.
    void name_servers_changed();
    // The system's clock was set, as after a suspension, for whose time addresses have aged.
    void clock_changed();
    [[nodiscard]] std::vector<NameSchedule::Problem> problems() const {
        return schedule_.problems(NameSchedule::Clock::now());
    }

private:
    using Clock = NameSchedule::Clock;
    NameResolver(const Instance& instance, Epoll epoll, Timer timer);
    void set_timer();
    Result<void> start(const std::vector<std::string>& names);
    void read_answers();
    void end(const std::string& why);
    void take(std::string_view line);
    void enter(const Lookup& lookup);
    void retry_all();

    const Instance& instance_;
    Epoll epoll_;
    Timer timer_; // when the next name is due, or the process has had its time
    NameSchedule schedule_;
    uint32_t table_ = 0;      // of learned addresses: its id in the kernel
    uint32_t generation_ = 0; // whose names are in the schedule
    std::optional<ConfinedProcess> process_;
    Clock::time_point deadline_{}; // of the process
    std::vector<std::string> asked_;
    std::vector<Lookup> answers_;
    // Of this round: names whose addresses could not be entered, or of which a server gave none that a service can
    // have; and those that have one.
    std::map<std::string, std::string> failed_, refused_;
    std::set<std::string> usable_;
    bool again_ = false;   // all are to be looked up again after this round
    std::string received_; // a line that is not whole yet
    std::string entering_; // the last problem of entering, which was logged
};

} // namespace kudo
