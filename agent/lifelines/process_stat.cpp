// SPDX-License-Identifier: MIT
#include "agent/lifelines/process_stat.h"

#include <vector>

#include "agent/system/files.h"
#include "agent/system/uptime.h"
#include "agent/system/whole_number.h"
#include "maps/base/text.h"

namespace kudo {
namespace {

// "PID (NAME) S PARENT ...": the name may hold blanks and parentheses itself.
std::optional<ProcessStat> parse_stat(std::string_view stat) {
    constexpr std::size_t before = 3, parent = 4, terminal = 7, started = 22; // numbers of fields; `before`: the first
    const auto name_begin = stat.find(" ("), name_end = stat.rfind(") ");
    if (name_end == std::string_view::npos || name_begin + 2 > name_end) return std::nullopt;
    const auto fields = split(stat.substr(name_end + 2), ' ');
    if (fields.size() + before <= started) return std::nullopt;
    const auto parent_of = whole_number<int>(fields[parent - before]);
    const auto device = whole_number<int>(fields[terminal - before]);
    const auto ticks = whole_number<uint64_t>(fields[started - before]);
    if (!parent_of || !device || !ticks) return std::nullopt;
    return ProcessStat{.name = escaped(stat.substr(name_begin + 2, name_end - name_begin - 2), 64),
                       .parent = *parent_of,
                       .terminal = static_cast<uint32_t>(*device),
                       .started = *ticks * ProcessStat::start_resolution};
}

} // namespace

std::optional<ProcessStat> read_process_stat(const std::filesystem::path& proc, int pid) {
    const auto stat = read_file(proc / std::to_string(pid) / "stat", 4096);
    auto parsed = stat ? parse_stat(*stat) : std::nullopt;
    if (parsed) parsed->started = kernel_boot_time(parsed->started);
    return parsed;
}

std::optional<uint32_t> read_login(const std::filesystem::path& proc, int pid) {
    const auto login = read_file(proc / std::to_string(pid) / "sessionid", 32);
    return login ? whole_number<uint32_t>(login->substr(0, login->find('\n'))) : std::nullopt;
}

} // namespace kudo
