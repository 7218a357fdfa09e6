// SPDX-License-Identifier: MIT
// What DNS has given addresses for, as JSON and as text.
// Invariant: a server is told only where it is known that it gave the address.
#pragma once

#include <string>
#include <vector>

#include "agent/inspect/learned_names.h"
#include "cli/terminal/json.h"

namespace kudo {

OrderedJson learned_name_json(const LearnedName& name);

// Of one address: which names, by whom, until when. "": none.
std::string learned_names_text(const std::vector<LearnedName>& names, bool colour);

std::string answered_by_text(const LearnedName& name); // "127.0.0.1 (asked by the service)"; "-": not known any more
std::string until_text(const LearnedName& name);       // RFC 3339

} // namespace kudo
