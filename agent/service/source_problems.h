// SPDX-License-Identifier: MIT
// The problems that sources have, watched over time.
// Invariant: a new problem is logged at once; it is an alarm only once it has lasted.
#pragma once

#include <chrono>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "agent/service/alarms.h"
#include "agent/sources/source.h"

namespace kudo {

class SourceProblems {
public:
    // `alarm_after`: how long a problem may last before it is an alarm.
    SourceProblems(ServiceAlarms& alarms, std::chrono::milliseconds alarm_after)
        : alarms_(alarms), alarm_after_(alarm_after) {}
    void check(const std::vector<std::unique_ptr<Source>>& sources);

private:
    using Clock = std::chrono::steady_clock;
    ServiceAlarms& alarms_;
    const std::chrono::milliseconds alarm_after_;
    std::map<const Source*, std::pair<Clock::time_point, std::string>> problems_; // since when, and what was logged
};

} // namespace kudo
