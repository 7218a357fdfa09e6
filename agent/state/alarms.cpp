// SPDX-License-Identifier: MIT
#include "agent/state/alarms.h"

#include <algorithm>

namespace kudo {

bool raise_alarm(std::vector<Alarm>& alarms, const std::string& source, const std::string& text, Time now) {
    const auto known = std::ranges::find(alarms, source, &Alarm::source);
    if (known != alarms.end()) {
        const auto age = now - known->last;
        if (known->text == text && age >= std::chrono::hours(0) && age < std::chrono::hours(1)) return false;
        Alarm again = *known;
        again.text = text;
        again.last = now;
        ++again.times;
        alarms.erase(known);
        alarms.push_back(std::move(again));
        return true;
    }
    alarms.push_back({source, text, now, now, 1});
    if (alarms.size() > alarms_length) alarms.erase(alarms.begin());
    return true;
}

void forget_old_alarms(std::vector<Alarm>& alarms, Time now) {
    std::erase_if(alarms, [&](const Alarm& alarm) { return now - alarm.last > alarm_life; });
}

} // namespace kudo
