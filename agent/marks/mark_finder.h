// SPDX-License-Identifier: MIT
// Which marks the network on the way loses: by what became of the same STUN requests with and without them, and whom
// to ask next.
// Invariant: pure: times are given. A mark is lost, or passes again, when two exchanges with the same server one after
// the other say so, and only against unmarked requests that were answered meanwhile.
#pragma once

#include <chrono>
#include <map>
#include <optional>
#include <vector>

#include "agent/state/lost_marks.h"
#include "agent/stun/mark_exchange.h"

namespace kudo {

// A server that a flow of this host asks by STUN now.
struct ServerInUse {
    StunServer server{};
    bool silent = false;             // and that has not answered for more than a second
    Address local{};                 // the flow's own address
    std::chrono::milliseconds rtt{}; // of its last answer; 0: none yet
};

class MarkFinder {
public:
    using Clock = std::chrono::steady_clock;

    static constexpr unsigned requests = 6;               // with each mark, in one exchange
    static constexpr std::chrono::milliseconds sure{200}; // between the two exchanges that say the same
    // Between others with one server; and at least after a change of the network.
    static constexpr std::chrono::seconds least{2}, most{60}, after_change{5};

    // Those that are to be compared.
    void set_marks(const std::vector<uint8_t>& dscps);
    // As it stands in the desired state.
    void set_lost(const std::vector<LostMark>& lost) { lost_ = lost; }
    [[nodiscard]] const std::vector<uint8_t>& marks() const { return marks_; }
    [[nodiscard]] const std::vector<LostMark>& lost() const { return lost_; }

    // Whom to ask now: to be sure of the last exchange; one that is silent; one that was not asked yet; else each once
    // in a minute. Nothing: nobody.
    [[nodiscard]] std::optional<ServerInUse> due(const std::vector<ServerInUse>& in_use, Clock::time_point now);
    // What came of asking it. `outcomes`: the first is unmarked; empty: nothing could be sent. True: lost() is another.
    bool note(const ServerInUse& asked, const std::vector<MarkOutcome>& outcomes, Clock::time_point now, Time wall);
    // Routes or interfaces are others: what was seen says nothing of what is now.
    void network_changed();

private:
    enum class Verdict { Nothing, Lost, Passes };
    struct Asked {
        Clock::time_point last{};
        std::chrono::seconds rest = least; // while it is silent, for a reason that is none of its marks
        std::map<uint8_t, Verdict> before; // what the last exchange with it has said
        bool unsure = false;               // and the one before that has not
    };
    static Verdict verdict_of(const MarkOutcome& marked, const MarkOutcome& unmarked);
    [[nodiscard]] Clock::time_point due_at(const ServerInUse& one) const;
    bool take(const StunServer& server, Asked& asked, uint8_t dscp, Verdict verdict, Time wall);

    std::vector<uint8_t> marks_;
    std::vector<LostMark> lost_;
    std::map<StunServer, Asked> asked_; // of those in use
    std::optional<Clock::time_point> last_;
    Clock::time_point not_before_{};
};

} // namespace kudo
