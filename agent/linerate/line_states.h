// SPDX-License-Identifier: MIT
// What the service says of the rates that follow their lines, for `status`: a file, replaced whenever that changes.
// Invariant: it is believed only while a service runs.
#pragma once

#include <map>
#include <string>

#include "agent/system/instance.h"
#include "maps/base/result.h"

namespace kudo {

struct LineState {
    std::string name; // as in docs/json.md: "following", "no_media", ...
    std::string text; // why the rate is what it is, as far as can be known; a clause
    bool operator==(const LineState&) const = default;
};
// By line, "eth0 uplink" or "eth0 downlink".
using LineStates = std::map<std::string, LineState>;
Result<void> save_line_states(const Instance& instance, const LineStates& states);
LineState line_state(const Instance& instance, const std::string& line);

} // namespace kudo
