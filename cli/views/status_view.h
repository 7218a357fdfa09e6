// SPDX-License-Identifier: MIT
// A Status as JSON and as text.
// Invariant: pure; the JSON's names are a contract (DESIGN: command line).
#pragma once

#include <optional>
#include <string>

#include "agent/diagnosis/recent_losses.h"
#include "agent/inspect/status.h"
#include "cli/terminal/json.h"

namespace kudo {

// `losses`: nothing where they could not be read, or were not asked for.
using Losses = std::optional<RecentLosses>;

// 0 healthy, 3 not enabled, 4 degraded, leftovers, or this host loses KUDO's packets: RecentLosses::is_degraded().
int exit_status(const Status& status, const Losses& losses = {});

OrderedJson status_json(const Status& status, const Losses& losses = {});
std::string status_text(const Status& status, bool colour, const Losses& losses = {});

} // namespace kudo
