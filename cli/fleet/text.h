// SPDX-License-Identifier: MIT
// Stragglers for people and for programs.
// Invariant: people see at most max_stragglers of them and how many more there are; programs see all.
#pragma once

#include <string>
#include <vector>

#include "cli/fleet/hosts.h"
#include "cli/terminal/output.h"

namespace kudo {

inline constexpr std::size_t max_stragglers = 20;

// null for 0: there is none.
OrderedJson serial_json(uint64_t serial);
// [{"host", "ring", "serial", "staged", "health", "age_seconds", "why": [...]}]
OrderedJson stragglers_json(const std::vector<Straggler>& stragglers);
// Empty if there are none.
std::string stragglers_text(const std::vector<Straggler>& stragglers, bool colour);

} // namespace kudo
