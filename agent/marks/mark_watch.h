// SPDX-License-Identifier: MIT
// Marks that the network loses, found while a call runs (--mark-fallback): asks the STUN servers that the host's own
// flows ask, with each mark in use and without one. kudo-agent's programs leave the marks of these requests
// (KUDO_PROBE_MARK).
// Invariant: nobody else is asked, and nobody at all while no flow asks; never waits: requests are sent, and responses
// read, in a process without any capability.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "agent/confined/process.h"
#include "agent/datapath/probes.h"
#include "agent/marks/mark_finder.h"
#include "agent/state/desired_state.h"
#include "agent/system/event_loop.h"
#include "agent/system/instance.h"

namespace kudo {

class MarkWatch {
public:
    static Result<MarkWatch> open(const Instance& instance);
    [[nodiscard]] int fd() const { return epoll_.fd(); } // readable: call on_ready()
    // True: what is lost is another now, and is to be saved; see apply().
    bool on_ready();
    // Begins, goes on or stops, as it is desired, and notes what has been saved.
    void follow(const DesiredState& desired);
    void network_changed();
    // Puts what was found, and is not saved yet, into a state that is going to be.
    void apply(DesiredState& desired) const;

private:
    using Clock = MarkFinder::Clock;
    MarkWatch(const Instance& instance, Epoll epoll, Timer timer);
    void look();
    Result<void> ask(const ServerInUse& server);
    bool read_outcomes();
    bool end(const std::vector<MarkOutcome>& outcomes);
    void stop();
    void warn_once(const std::string& problem);

    const Instance& instance_;
    Epoll epoll_;
    Timer timer_;
    MarkFinder finder_;
    bool watches_ = false;
    bool pending_ = false; // what the finder says differs from what is saved
    std::optional<ConfinedProcess> process_;
    Clock::time_point deadline_{}; // of the process
    ServerInUse asked_{};
    std::vector<uint8_t> dscps_;     // that it was asked with
    std::string received_, problem_; // `problem_`: the last one, which was logged
};

// Those that have been asked in the last seconds. Pure.
std::vector<ServerInUse> servers_in_use(const FlowProbes& probes, std::chrono::system_clock::time_point now);

} // namespace kudo
