// SPDX-License-Identifier: MIT
// Reads from this host what goes into a report.
// Invariant: changes nothing on this host. What cannot be read is told in the report, and never looks as if there were
// none. Traffic is looked at before `doctor` sends its own.
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "agent/system/instance.h"
#include "cli/report/document.h"
#include "cli/report/redaction.h"
#include "maps/base/result.h"

namespace kudo {

struct ReportRequest {
    std::vector<std::string> regions{}; // for doctor; empty: those that are enabled
    bool teams = false;
    bool doctor = true;
    std::string why_no_doctor = "--no-doctor was given"; // unless `doctor`
    std::chrono::seconds duration{10};                   // how long calls are looked at
};

struct GatheredReport {
    ReportParts parts;
    Identities identities; // for redacted()
};
// Errors: NotPermitted; BadInput: a region that the map does not have, or none where nothing is enabled.
Result<GatheredReport> gather_report(const Instance& instance, const ReportRequest& request);

} // namespace kudo
