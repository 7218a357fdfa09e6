// SPDX-License-Identifier: MIT
// What a process without privileges tells of its checks: lines of JSON.
// Invariant: what is read is bounded, and has no command: a fix comes from this process alone.
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
// Nothing: it is none.
std::optional<ReportLine> parse_report_line(std::string_view text);

std::string marks_line(const MarkExchange& exchange);
std::optional<MarkExchange> parse_marks_line(std::string_view text);

} // namespace kudo
