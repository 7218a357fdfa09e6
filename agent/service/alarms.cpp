// SPDX-License-Identifier: MIT
#include "agent/service/alarms.h"

#include <algorithm>

#include <spdlog/spdlog.h>

#include "agent/reconcile/reconcile.h"
#include "agent/system/uptime.h"

namespace kudo {
namespace {
constexpr std::chrono::seconds between_alarms{60}; // of one source: each is a write to the disk
constexpr std::size_t max_remembered = 1024;
} // namespace

std::string numberless(std::string_view sentence) {
    std::string result;
    while (!sentence.empty()) {
        const std::string_view word = sentence.substr(0, sentence.find(' '));
        if (!word.empty() && word.find_first_not_of("0123456789") == std::string_view::npos)
            result += '#';
        else
            result += word;
        sentence.remove_prefix(word.size());
        if (sentence.empty()) break;
        result += ' ';
        sentence.remove_prefix(1);
    }
    return result;
}

void ServiceAlarms::warn_once(const std::string& text) {
    if (logged_.size() > max_remembered) logged_.clear();
    if (logged_.insert(text).second) spdlog::warn("{}", text);
}

void ServiceAlarms::found(const std::set<std::string>& wrong, bool whole) {
    std::map<std::string, std::string> standing;
    for (const std::string& text : wrong) {
        const std::string key = numberless(text);
        const auto known = standing_.find(key);
        standing.emplace(key, known == standing_.end() ? text : known->second);
        if (known == standing_.end()) warn_once(text);
    }
    for (const auto& [key, text] : standing_) {
        if (standing.contains(key)) continue;
        if (!whole) {
            standing.emplace(key, text);
            continue;
        }
        spdlog::info("no longer: {}", text);
        logged_.erase(text);
    }
    standing_ = std::move(standing);
    if (whole && standing_.empty()) all_well();
}

bool ServiceAlarms::raise(const std::string& source, const std::string& text) {
    until_[source] = Clock::now() + lasts_;
    auto& next = next_[source];
    if (Clock::now() < next) return false;
    const Time now = wall_time();
    auto state = load_desired_state(instance_);
    if (!state || !raise_alarm(state->ranges.alarms, source, text, now)) return false;
    const auto change = [&](DesiredState& desired) -> Result<void> {
        raise_alarm(desired.ranges.alarms, source, text, now);
        return {};
    };
    const auto stored = change_state(instance_, change, service_lock_timeout);
    if (!stored) return warn_once(stored.error().message), false;
    next = Clock::now() + between_alarms;
    if (next_.size() > max_remembered) next_.clear();
    return true;
}

void ServiceAlarms::over(const std::string& source) {
    const auto until = until_.find(source);
    if (until != until_.end()) until->second = std::min(until->second, Clock::now());
    next_.erase(source);
}

void ServiceAlarms::end(RangeLedger& ledger, const std::vector<Alarm>& before) {
    const auto now = Clock::now();
    for (const Alarm& alarm : ledger.alarms) {
        const auto known = std::ranges::find(before, alarm.source, &Alarm::source);
        if (known == before.end() || known->times != alarm.times) until_[alarm.source] = now + std::chrono::days(1);
    }
    // What was raised before the service began: perhaps its cause is found again.
    const bool knows_all = now - began_ >= lasts_;
    std::erase_if(ledger.alarms, [&](const Alarm& alarm) {
        const auto until = until_.find(alarm.source);
        return until == until_.end() ? knows_all : until->second <= now;
    });
    std::erase_if(until_, [&](const auto& one) { return one.second <= now; });
}

} // namespace kudo
