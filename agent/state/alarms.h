// SPDX-License-Identifier: MIT
// Alarms: what somebody should look at although packets are judged as desired. Kept with the range maps' ledger.
// Invariant: one alarm for each source, the newest last, at most alarms_length.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "maps/base/time.h"

namespace kudo {

struct Alarm {
    std::string source; // of what it is about: one alarm for each
    std::string text;
    Time first{}, last{};
    uint64_t times = 1;
};

inline constexpr std::size_t alarms_length = 20;
inline constexpr std::chrono::days alarm_life{7};

// Notes an alarm, or that it came again. False if that needs no writing: it was noted within the last hour.
bool raise_alarm(std::vector<Alarm>& alarms, const std::string& source, const std::string& text, Time now);
// Forgets alarms that have not come again for alarm_life.
void forget_old_alarms(std::vector<Alarm>& alarms, Time now);
} // namespace kudo
