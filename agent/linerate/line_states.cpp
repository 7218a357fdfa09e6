// SPDX-License-Identifier: MIT
#include "agent/linerate/line_states.h"

#include <cerrno>
#include <filesystem>

#include <nlohmann/json.hpp>

#include "agent/system/files.h"
#include "agent/system/lock.h"

namespace kudo {

constexpr std::size_t max_size = 1 << 20;

NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(LineState, name, text)

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

LineState line_state(const Instance& instance, const std::string& line) {
    const auto runs = is_locked(instance.service_lock());
    if (!runs)
        return {"not_known",
                "whether the service runs, which follows the line, cannot be told: " + runs.error().message};
    if (!*runs)
        return {"no_service",
                "the service, kudo-agent run, does not run: the rate does not follow the line and stays as it is"};
    LineState not_yet{"not_taken_up", "the service has not taken it up yet"};
    const auto text = read_file(instance.line_rates(), max_size);
    if (!text && text.error().number == ENOENT) return not_yet;
    if (!text) return {"not_known", "what the service says of it cannot be read: " + text.error().message};
    try {
        const auto states = nlohmann::json::parse(*text).get<LineStates>();
        const auto found = states.find(line);
        return found == states.end() ? not_yet : found->second;
    } catch (const nlohmann::json::exception&) {
        return {"not_known", "what the service says of it cannot be read: it is of another version"};
    }
}

} // namespace kudo
