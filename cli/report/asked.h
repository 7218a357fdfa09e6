// SPDX-License-Identifier: MIT
// What KUDO's own document ("KUDO Firewall rules") asks of a network, point by point, and what this network did.
// Invariant: pure. "met" is said only of what was looked at; of several checks the worst decides.
#pragma once

#include "cli/terminal/json.h"

namespace kudo {

// A list of `topic`, `asked` (KUDO's words, shortened), `result` ("met", "doubtful", "not_met", "not_known"), `seen`:
// sentences. `stats`, `doctor`: as those commands print them, or null.
OrderedJson asked_of_network(const OrderedJson& stats, const OrderedJson& doctor, bool teams);

} // namespace kudo
