// SPDX-License-Identifier: MIT
// Answers read-only questions of users without privileges, by a unix(7) socket.
// Invariant: each answer is made in a process of its own, which can change no file and ends with the service, after its
// time, or with the connection. What an asker sends is read there and never by the service itself; so many at a time,
// so many of one user, and the service never waits for any. Answers that last, as of `top`, have places of their own,
// so that they take none of a short one.
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

inline constexpr std::size_t max_askers = 8, max_askers_of_a_user = 2; // and as many again whose answers last
inline constexpr std::chrono::seconds answer_within{30};               // unless it says otherwise
inline constexpr std::chrono::seconds longest_answer{1200};
inline constexpr std::chrono::seconds read_within{10}; // each message
inline constexpr std::chrono::seconds ask_within{2};   // from the connection to the whole question

// In the process of an answer, once, before anything is sent: it is made within this time, or, of one that lasts, until
// it is not read any more. An Error: no place for one that lasts is left.
struct AnswerTime {
    bool lasts = false;
    std::chrono::seconds within = answer_within; // at most longest_answer; 0: without an end, if it lasts
};
using BeginAnswer = std::function<Result<void>(const AnswerTime& time)>;

struct QuerySettings {
    std::filesystem::path socket; // empty: none is made
    // Runs in the process of the answer. `connection`: for send_piece(); what is returned is sent as the last one.
    std::function<Result<int>(const Query& query, int connection, const BeginAnswer& begin)> answer;
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
        Fd connection;
        ConfinedProcess process; // by its socket it asks for a lasting place
        Fd ended;                // pidfd
        bool lasts = false;
    };
    using Place = std::list<Asker>::iterator;
    // How many there are that last, or do not; of one user, or of all.
    [[nodiscard]] std::size_t count(bool lasting, std::optional<uid_t> user = {}) const;
    [[nodiscard]] Result<void> check_place(bool lasting, uid_t user) const;
    void accept_one();
    void start(const Peer& peer, Fd connection);
    void give_lasting_place(Place asker);
    void end(Place asker);
    void end_those_that_ended();

    QuerySettings settings_;
    EventLoop& loop_;
    std::optional<ListeningSocket> listening_;
    std::list<Asker> askers_;
};

} // namespace kudo
