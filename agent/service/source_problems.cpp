// SPDX-License-Identifier: MIT
#include "agent/service/source_problems.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

namespace kudo {

void SourceProblems::check(const std::vector<std::unique_ptr<Source>>& sources) {
    for (const auto& source : sources) {
        const std::string name = source->name(), problem = source->health().problem;
        if (problem.empty()) {
            problems_.erase(source.get());
            continue;
        }
        const auto now = Clock::now();
        const std::string text = problem.starts_with(name) ? problem : fmt::format("{}: {}", name, problem);
        auto& [since, logged] = problems_.try_emplace(source.get(), now, "").first->second;
        if (logged != text) spdlog::warn("{}", logged = text);
        if (now - since >= alarm_after_) alarms_.raise(name, text);
    }
}

} // namespace kudo
