// SPDX-License-Identifier: MIT
// Which marks the network on the way loses: by what became of the same STUN requests with and without them, and when
// to ask again.
// Invariant: pure: times are given. A mark is lost, or passes again, when two exchanges one after the other say so, and
// only against unmarked requests that were answered meanwhile.
#pragma once

#include <chrono>
#include <map>
#include <optional>
#include <vector>

#include "agent/state/lost_marks.h"
#include "agent/stun/mark_exchange.h"

namespace kudo {

// A server that this host asks by STUN now.
struct ServerInUse {
    StunServer server{};
    bool silent = false; // and that has not answered for more than a second
};

class MarkFinder {
public:
    using Clock = std::chrono::steady_clock;

    static constexpr MarkExchangeTimes times{
        .requests = 6, .gap = std::chrono::milliseconds(15), .all = std::chrono::milliseconds(1200)};
    static constexpr std::chrono::milliseconds sure{200};     // between the two exchanges that say the same
    static constexpr std::chrono::seconds least{2}, most{60}; // between others

    // Those that are to be compared; what was lost of others is forgotten.
    void set_marks(const std::vector<uint8_t>& dscps);
    // As it was found before this process began.
    void set_lost(const std::vector<LostMark>& lost) { lost_ = lost; }
    [[nodiscard]] const std::vector<uint8_t>& marks() const { return marks_; }
    [[nodiscard]] const std::vector<LostMark>& lost() const { return lost_; }

    // Whom to ask now: one that is silent, one that was not asked yet, or once in a minute any. Nothing: nobody.
    [[nodiscard]] std::optional<StunServer> due(const std::vector<ServerInUse>& in_use, Clock::time_point now);
    // `outcomes`: the first is unmarked; empty: nothing could be sent. True: lost() is another one.
    bool note(const StunServer& server, const std::vector<MarkOutcome>& outcomes, Clock::time_point now, Time wall);
    // Routes or interfaces are others: all servers are to be asked again.
    void network_changed();

private:
    enum class Verdict { Nothing, Lost, Passes };
    static Verdict verdict_of(const MarkOutcome& marked, const MarkOutcome& unmarked);
    bool take(uint8_t dscp, Verdict verdict, Time wall);

    std::vector<uint8_t> marks_;
    std::vector<LostMark> lost_;
    std::map<uint8_t, Verdict> before_; // of the last exchange that told anything
    std::map<StunServer, Clock::time_point> asked_;
    bool unsure_ = false; // the last exchange has said what the one before has not
    Clock::time_point not_before_{}, last_{};
    std::chrono::seconds rest_ = least;
};

} // namespace kudo
