// SPDX-License-Identifier: MIT
#include "agent/marks/mark_finder.h"

#include <algorithm>
#include <tuple>

namespace kudo {
namespace {

// Of unmarked requests and of those whose mark passes so few are lost, whatever else is wrong with the network.
constexpr double few = 0.2;
// An exchange and the next are of the same moments if no more than this lies between them.
constexpr std::chrono::seconds one_after_the_other{5};

} // namespace

void MarkFinder::set_marks(const std::vector<uint8_t>& dscps) {
    if (marks_ == dscps) return;
    marks_ = dscps;
    asked_.clear(); // of what is new nobody was asked
}

void MarkFinder::network_changed() {
    asked_.clear();
    // Where containers come and go, it changes all the time.
    if (last_) not_before_ = *last_ + after_change;
}

MarkFinder::Clock::time_point MarkFinder::due_at(const ServerInUse& one) const {
    const auto asked = asked_.find(one.server);
    if (asked == asked_.end()) return {};
    if (asked->second.unsure) return asked->second.last + sure;
    return asked->second.last + (one.silent ? asked->second.rest : most);
}

std::optional<ServerInUse> MarkFinder::due(const std::vector<ServerInUse>& in_use, Clock::time_point now) {
    std::erase_if(asked_, [&](const auto& entry) {
        return std::ranges::find(in_use, entry.first, &ServerInUse::server) == in_use.end();
    });
    if (marks_.empty() || now < not_before_) return std::nullopt;
    // Of several the one that waits longest, so that none that never answers keeps the others from being asked.
    const auto order = [&](const ServerInUse& one) {
        const auto asked = asked_.find(one.server);
        const bool unsure = asked != asked_.end() && asked->second.unsure;
        return std::tuple(!unsure, !one.silent, due_at(one));
    };
    const ServerInUse* next = nullptr;
    for (const ServerInUse& one : in_use)
        if (due_at(one) <= now && (!next || order(one) < order(*next))) next = &one;
    return next ? std::optional(*next) : std::nullopt;
}

MarkFinder::Verdict MarkFinder::verdict_of(const MarkOutcome& marked, const MarkOutcome& unmarked) {
    if (unmarked.sent == 0 || marked.sent == 0 || unmarked.loss() > few) return Verdict::Nothing;
    if (marked.answered == 0) return Verdict::Lost;
    return marked.loss() <= few ? Verdict::Passes : Verdict::Nothing;
}

// One exchange alone may be chance. Of a mark that is lost on the way to one server, another on another way says
// nothing, as long as both are in use.
bool MarkFinder::take(const StunServer& server, Asked& asked, uint8_t dscp, Verdict verdict, Time wall) {
    const auto known = std::ranges::find(lost_, dscp, &LostMark::dscp);
    const bool is_lost = known != lost_.end();
    if (verdict == (is_lost ? Verdict::Lost : Verdict::Passes)) return false;
    const auto found_at = [&](const auto& entry) { return entry.first.address == known->server; };
    if (is_lost && known->server != server.address && std::ranges::any_of(asked_, found_at)) return false;
    if (asked.before[dscp] != verdict) {
        asked.unsure = true;
        return false;
    }
    if (is_lost)
        lost_.erase(known);
    else
        lost_.push_back({dscp, wall, server.address});
    return true;
}

bool MarkFinder::note(const ServerInUse& one, const std::vector<MarkOutcome>& outcomes, Clock::time_point now,
                      Time wall) {
    Asked& asked = asked_[one.server];
    if (now - asked.last > one_after_the_other) asked.before.clear();
    asked.last = now;
    asked.unsure = false;
    last_ = now;
    bool changed = false;
    for (const MarkOutcome& outcome : outcomes) {
        if (std::ranges::find(marks_, outcome.dscp) == marks_.end()) continue;
        const Verdict verdict = verdict_of(outcome, outcomes.front());
        if (verdict != Verdict::Nothing) changed |= take(one.server, asked, outcome.dscp, verdict, wall);
        asked.before[outcome.dscp] = verdict;
    }
    asked.rest = one.silent && !changed && !asked.unsure ? std::min(2 * asked.rest, most) : least;
    return changed;
}

} // namespace kudo
