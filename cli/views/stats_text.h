// SPDX-License-Identifier: MIT
// Statistics as tables.
#pragma once

#include <string>

#include "cli/views/stats_view.h"

namespace kudo {

std::string stats_text(const Statistics& statistics, const StatsView& view);

} // namespace kudo
