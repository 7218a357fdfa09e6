// SPDX-License-Identifier: MIT
// A diagnosis and its statistics as tables.
// Invariant: no table is wider than view.width.
#pragma once

#include <string>

#include "agent/diagnosis/diagnosis.h"
#include "cli/views/stats_view.h"

namespace kudo {

// The verdict first, then what is lost where, then what was counted.
std::string stats_text(const Diagnosis& diagnosis, const StatsView& view);

// What mode enforce drops, or a rehearsal says it would; of flows the first `limit`.
std::string denied_text(const Diagnosis& diagnosis, const StatsView& view, std::size_t limit);

} // namespace kudo
