// SPDX-License-Identifier: MIT
// A diagnosis for people: where packets are lost, first in one sentence, then what was seen and what to do.
// Invariant: no line is wider than the view's width, but for commands, which are to be copied whole.
#pragma once

#include <string>

#include "agent/diagnosis/diagnosis.h"
#include "cli/views/stats_view.h"

namespace kudo {

std::string verdict_text(const Diagnosis& diagnosis, const StatsView& view);
// By cause; with view.drops each row, with its flow and place. Empty where nothing was dropped.
std::string drops_text(const Diagnosis& diagnosis, const StatsView& view);

} // namespace kudo
