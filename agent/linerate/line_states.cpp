// SPDX-License-Identifier: MIT
#include "agent/linerate/line_states.h"

#include <filesystem>

#include <nlohmann/json.hpp>

#include "agent/system/files.h"
#include "agent/system/lock.h"

namespace kudo {

constexpr std::size_t max_size = 1 << 20;

Result<void> save_line_states(const Instance& instance, const LineStates& states) {
    std::error_code ignored;
    if (states.empty()) { // nothing of it stays after `disable`
        std::filesystem::remove(instance.line_rates(), ignored);
        return {};
    }
    auto saved = replace_file(instance.line_rates(), nlohmann::json(states).dump(), Flush::No);
    if (!saved) std::filesystem::remove(instance.line_rates(), ignored); // what it says is not so any more
    return saved;
}

std::string line_state(const Instance& instance, const std::string& line) {
    const auto runs = is_locked(instance.service_lock());
    if (!runs) return "whether the service runs, which follows the line, cannot be told: " + runs.error().message;
    if (!*runs)
        return "the service, kudo-agent run, does not run: the rate does not follow the line and stays as it is";
    const auto text = read_file(instance.line_rates(), max_size);
    if (text) {
        const auto states = nlohmann::json::parse(*text, nullptr, false);
        if (states.is_object() && states.contains(line) && states[line].is_string())
            return states[line].get<std::string>();
    }
    return "the service has not taken it up yet";
}

} // namespace kudo
