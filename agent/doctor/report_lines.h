// SPDX-License-Identifier: MIT
// What a process of its own tells of its checks: lines of JSON.
// Invariant: what is read is bounded, and no command comes from a process that reads the network.
#pragma once

#include <chrono>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include "agent/doctor/check.h"
#include "agent/doctor/examination.h"

namespace kudo {

struct ReportLine {
    std::size_t check = 0; // its number in the list
    CheckReport report{};
    std::chrono::milliseconds took{};
};
std::string report_line(const ReportLine& line);
// May a fix be in it? Only where the process that has written it reads nothing that comes from the network.
enum class Commands { Dropped, Taken };
// Nothing: it is none.
std::optional<ReportLine> parse_report_line(std::string_view text, Commands commands = Commands::Dropped);

std::string marks_line(const MarkExchange& exchange);
std::optional<MarkExchange> parse_marks_line(std::string_view text);

} // namespace kudo
