// SPDX-License-Identifier: MIT
#include "agent/service/export_problems.h"

#include <spdlog/spdlog.h>

#include "agent/service/alarms.h"

namespace kudo {

std::vector<std::string> ExportProblems::found(const std::set<std::string>& problems, Clock::time_point now) {
    std::set<std::string> keys;
    for (const std::string& problem : problems) {
        const std::string key = numberless(problem);
        keys.insert(key);
        if (standing_.try_emplace(key, now, problem).second) spdlog::warn("{}", problem);
    }
    std::vector<std::string> lasting;
    for (auto place = standing_.begin(); place != standing_.end();) {
        const auto& [since, text] = place->second;
        const bool stands = keys.contains(place->first);
        if (!stands)
            spdlog::info("no longer: {}", text);
        else if (now - since >= alarm_after_)
            lasting.push_back(text);
        place = stands ? std::next(place) : standing_.erase(place);
    }
    return lasting;
}

} // namespace kudo
