// SPDX-License-Identifier: MIT
// A report as a document: everything that its page shows, and what `report --show` reads back (docs/report.md).
// Invariant: bounded, whatever the host has counted: what was left out is counted in `left_out`.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

#include "agent/diagnosis/diagnosis.h"
#include "agent/diagnosis/recording.h"
#include "cli/terminal/json.h"
#include "maps/base/result.h"

namespace kudo {

inline constexpr std::string_view report_format = "kudo-report/1";

struct ReportParts {
    std::chrono::system_clock::time_point made_at;
    std::string host;
    std::optional<Diagnosis> diagnosis{};
    std::string why_no_diagnosis{};
    std::optional<Recording> recording{};
    OrderedJson status, doctor, map, version; // as those commands print them; null where there is none
    std::string why_no_doctor{};
    bool teams = false;
    std::vector<std::string> not_known{}; // whole sentences
};
// Errors: the statistics cannot be written.
Result<OrderedJson> report_document(ReportParts parts);

// A document that somebody has written. BadInput says what is wrong; `shown` is what errors call it.
Result<OrderedJson> parse_report_document(std::string_view text, const std::string& shown);

} // namespace kudo
