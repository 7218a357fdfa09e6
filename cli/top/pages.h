// SPDX-License-Identifier: MIT
// What top shows on a page of its own: a flow, the verdict, help.
// Invariant: pure; plain text in lines, not yet printable().
#pragma once

#include <string>

#include "cli/top/reading.h"

namespace kudo {

// All that is known of the flow at this place in statistics.flows.
std::string flow_page(const Reading& reading, std::size_t flow, std::size_t width);
// As `stats` says it, with every drop.
std::string verdict_page(const Diagnosis& diagnosis, std::size_t width);
std::string help_page(std::size_t width);

} // namespace kudo
