// SPDX-License-Identifier: MIT
#include "agent/marks/mark_finder.h"

#include <algorithm>

namespace kudo {
namespace {

// Of unmarked requests and of those whose mark passes so few are lost, whatever else is wrong with the network.
constexpr double few = 0.2;

} // namespace

void MarkFinder::set_marks(const std::vector<uint8_t>& dscps) {
    if (marks_ == dscps) return;
    marks_ = dscps;
    const auto is_gone = [&](uint8_t dscp) { return std::ranges::find(marks_, dscp) == marks_.end(); };
    std::erase_if(lost_, [&](const LostMark& mark) { return is_gone(mark.dscp); });
    std::erase_if(before_, [&](const auto& entry) { return is_gone(entry.first); });
    network_changed(); // what is new was not asked about
}

void MarkFinder::network_changed() {
    asked_.clear();
    not_before_ = {};
    rest_ = least;
}

std::optional<StunServer> MarkFinder::due(const std::vector<ServerInUse>& in_use, Clock::time_point now) {
    std::erase_if(asked_, [&](const auto& entry) {
        return std::ranges::find(in_use, entry.first, &ServerInUse::server) == in_use.end();
    });
    const auto silent = std::ranges::find(in_use, true, &ServerInUse::silent);
    if (silent == in_use.end()) rest_ = least;
    if (in_use.empty() || marks_.empty() || now < not_before_) return std::nullopt;
    if (silent != in_use.end()) return silent->server;
    for (const ServerInUse& one : in_use)
        if (!asked_.contains(one.server)) return one.server;
    if (unsure_ || now >= last_ + most) return in_use.front().server;
    return std::nullopt;
}

MarkFinder::Verdict MarkFinder::verdict_of(const MarkOutcome& marked, const MarkOutcome& unmarked) {
    if (unmarked.sent == 0 || marked.sent == 0 || unmarked.loss() > few) return Verdict::Nothing;
    if (marked.answered == 0) return Verdict::Lost;
    return marked.loss() <= few ? Verdict::Passes : Verdict::Nothing;
}

// One exchange alone may be chance.
bool MarkFinder::take(uint8_t dscp, Verdict verdict, Time wall) {
    const auto known = std::ranges::find(lost_, dscp, &LostMark::dscp);
    const bool is_news = verdict != (known != lost_.end() ? Verdict::Lost : Verdict::Passes);
    if (!is_news) return false;
    if (before_[dscp] != verdict) {
        unsure_ = true;
        return false;
    }
    if (verdict == Verdict::Lost)
        lost_.push_back({dscp, wall});
    else
        lost_.erase(known);
    return true;
}

bool MarkFinder::note(const StunServer& server, const std::vector<MarkOutcome>& outcomes, Clock::time_point now,
                      Time wall) {
    asked_[server] = last_ = now;
    unsure_ = false;
    bool changed = false;
    for (const MarkOutcome& outcome : outcomes) {
        if (std::ranges::find(marks_, outcome.dscp) == marks_.end()) continue;
        const Verdict verdict = verdict_of(outcome, outcomes.front());
        if (verdict == Verdict::Nothing) continue;
        changed |= take(outcome.dscp, verdict, wall);
        before_[outcome.dscp] = verdict;
    }
    // A server that stays silent for another reason is asked less and less often.
    not_before_ = now + (unsure_ ? sure : rest_);
    if (!unsure_) rest_ = changed ? least : std::min(2 * rest_, most);
    return changed;
}

} // namespace kudo
