// SPDX-License-Identifier: MIT
#include "agent/names/schedule.h"

#include <algorithm>

namespace kudo {

NameSchedule::Clock::duration NameSchedule::part_of(std::chrono::seconds time, double from, double to) {
    return std::chrono::duration_cast<Clock::duration>(time *
                                                       std::uniform_real_distribution<double>(from, to)(random_));
}

void NameSchedule::set_names(const std::vector<std::string>& names, Clock::time_point now) {
    std::map<std::string, State> next;
    for (const std::string& name : names) {
        const auto known = names_.find(name);
        State& state = next[name];
        if (known != names_.end())
            state = std::move(known->second);
        else
            state.due = now;
    }
    names_ = std::move(next);
}

std::vector<std::string> NameSchedule::due(Clock::time_point now) const {
    std::vector<std::string> result;
    for (const auto& [name, state] : names_)
        if (state.due <= now) result.push_back(name);
    return result;
}

NameSchedule::Clock::time_point NameSchedule::next() const {
    auto first = Clock::time_point::max();
    for (const auto& [name, state] : names_)
        first = std::min(first, state.due);
    return first;
}

void NameSchedule::resolved(const std::string& name, std::chrono::seconds ttl, Clock::time_point now) {
    const auto known = names_.find(name);
    if (known == names_.end()) return;
    State& state = known->second;
    state.why.clear();
    state.wait = first_retry;
    state.due = now + std::max<Clock::duration>(least, part_of(std::min(ttl, most), 0.8, 0.95));
}

void NameSchedule::failed(const std::string& name, const std::string& why, Clock::time_point now) {
    const auto known = names_.find(name);
    if (known == names_.end()) return;
    State& state = known->second;
    if (state.why.empty()) state.failed_since = now;
    state.why = why;
    state.due = now + part_of(state.wait, 0.5, 1.0);
    state.wait = std::min(2 * state.wait, last_retry);
}

void NameSchedule::retry_failed(Clock::time_point now) {
    for (auto& [name, state] : names_) {
        if (state.why.empty()) continue;
        state.due = now;
        state.wait = first_retry;
    }
}

void NameSchedule::retry_all(Clock::time_point now) {
    for (auto& [name, state] : names_)
        state.due = now;
}

std::vector<NameSchedule::Problem> NameSchedule::problems(Clock::time_point now) const {
    std::vector<Problem> result;
    for (const auto& [name, state] : names_)
        if (!state.why.empty()) result.push_back({name, state.why, now - state.failed_since >= lasting});
    return result;
}

} // namespace kudo
