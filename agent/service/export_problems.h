// SPDX-License-Identifier: MIT
// The problems that exporters have, watched over time.
// Invariant: each is logged when it appears, and once more when it has ended; it is an alarm only once it has lasted. A
// number in a sentence that has changed makes it no other.
#pragma once

#include <chrono>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace kudo {

class ExportProblems {
public:
    using Clock = std::chrono::steady_clock;
    // `alarm_after`: how long a problem may last before it is an alarm.
    explicit ExportProblems(std::chrono::milliseconds alarm_after) : alarm_after_(alarm_after) {}

    // What is wrong now. Returns what has lasted, as it was logged.
    std::vector<std::string> found(const std::set<std::string>& problems, Clock::time_point now);

private:
    const std::chrono::milliseconds alarm_after_;
    std::map<std::string, std::pair<Clock::time_point, std::string>> standing_; // since when, and what; by numberless()
};

} // namespace kudo
