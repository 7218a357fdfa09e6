// SPDX-License-Identifier: MIT
// Loss, round trips and rate over time, on a report's page.
// Invariant: pure; what was not recorded is said to be so, and never drawn as zero.
#pragma once

#include <string>

#include "cli/terminal/json.h"

namespace kudo {

// `timeline`: of a report.
std::string timeline_html(const OrderedJson& timeline);

} // namespace kudo
