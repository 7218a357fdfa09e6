// SPDX-License-Identifier: MIT
// Statistics as JSON.
// Invariant: pure; the names are a contract (docs/statistics.md).
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "agent/diagnosis/diagnosis.h"
#include "cli/terminal/json.h"
#include "cli/views/stats_view.h"

namespace kudo {

// Gives `write` the document piece by piece, with a newline at its end.
using Write = std::function<Result<void>(std::string_view)>;
Result<void> write_stats_json(const Diagnosis& diagnosis, const StatsView& view, bool one_line, const Write& write);

void to_json(OrderedJson& json, const StrayRemote& stray);
void to_json(OrderedJson& json, const NamedAddress& named);
// "18.156.200.9", "3.123.12.129 (in media)"
std::string where_text(const NamedAddress& named);
// One line. `read_at`: when the flow was read; `detail`: null where nothing more is known of it.
std::string flow_json(const FlowRecord& flow, std::chrono::system_clock::time_point read_at,
                      const FlowDiagnosis* detail = nullptr);

} // namespace kudo
