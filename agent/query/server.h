// SPDX-License-Identifier: MIT
// Answers read-only questions of users without privileges, by a unix(7) socket.
// Invariant: each answer is made in a process of its own, which can change no file and ends with the service, after its
// time, or with the connection. What an asker sends is read there and never by the service itself; so many at a time,
// so many of one user, and the service never waits for any.
#pragma once

#include <filesystem>
#include <functional>
#include <list>
#include <optional>

#include "agent/confined/process.h"
#include "agent/query/exchange.h"
#include "agent/query/peer.h"
#include "agent/query/socket.h"
#include "agent/system/event_loop.h"
#include "maps/base/result.h"

namespace kudo {

inline constexpr std::size_t max_askers = 8, max_askers_of_a_user = 2;
inline constexpr std::chrono::seconds answer_within{30}; // `stats --watch` apart, which goes on while it is read
inline constexpr std::chrono::seconds read_within{10};   // each message
inline constexpr std::chrono::seconds ask_within{2};     // from the connection to the whole question

struct QuerySettings {
    std::filesystem::path socket; // empty: none is made
    // Runs in the process of the answer. `connection`: for send_piece(); what is returned is sent as the last one.
    std::function<Result<int>(const Query& query, int connection)> answer;
};

class QueryServer {
public:
    // `loop` outlives it.
    QueryServer(QuerySettings settings, EventLoop& loop) : settings_(std::move(settings)), loop_(loop) {}

    // Makes the socket if it is not there (any more).
    Result<void> open();

private:
    struct Asker {
        uid_t user;
        ConfinedProcess process; // its socket is the connection
        Fd ended;                // pidfd
    };
    void accept_one();
    void start(const Peer& peer, Fd connection);
    void end(std::list<Asker>::iterator asker);
    void end_those_that_ended();

    QuerySettings settings_;
    EventLoop& loop_;
    std::optional<ListeningSocket> listening_;
    std::list<Asker> askers_;
};

} // namespace kudo
