// SPDX-License-Identifier: MIT
// The counters without what grows with the number of flows: the facts behind metrics.
#pragma once

#include "agent/inspect/statistics.h"

namespace kudo {

// As read_statistics(), but with nothing of the flow table, of a stale map and of denied flows.
Result<Statistics> read_totals(const Instance& instance);

} // namespace kudo
