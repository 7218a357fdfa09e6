// SPDX-License-Identifier: MIT
// What the service says of the rates that follow their lines, for `status`: a file, replaced whenever that changes.
// Invariant: it is believed only while a service runs.
#pragma once

#include <map>
#include <string>

#include "agent/system/instance.h"
#include "maps/base/result.h"

namespace kudo {

// By line, "eth0 uplink" or "eth0 downlink", a clause.
using LineStates = std::map<std::string, std::string>;
Result<void> save_line_states(const Instance& instance, const LineStates& states);
// Why the rate there is what it is, as far as can be known; a clause.
std::string line_state(const Instance& instance, const std::string& line);

} // namespace kudo
