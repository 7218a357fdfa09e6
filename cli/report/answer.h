// SPDX-License-Identifier: MIT
// What a report says first: the cause in one sentence, and who must act; then what else needs somebody.
// Invariant: pure. What was lost of a call comes before what `doctor` finds, as it was seen to happen; and "nothing was
// found" is said only of what was looked at.
#pragma once

#include "cli/terminal/json.h"

namespace kudo {

// `stats`, `doctor`: as those commands print them; null where they could not look, for which `why_no_stats` has the
// reason. Fields: `summary`, `where`, `who`, `advice`, `command`, `confidence`, `evidence`, `from` ("stats", "doctor").
OrderedJson answer_of(const OrderedJson& stats, const OrderedJson& doctor, const std::string& why_no_stats);

// The checks of `doctor` that fail and that somebody else must act on than whom the answer names: "whoever runs ...:
// DNS, TCP 443". Empty: none, or the answer names nobody.
std::string also_failing(const OrderedJson& answer, const OrderedJson& doctor);

// Who can do something about a check of `doctor` that did not pass.
std::string who_for_check(const OrderedJson& check);

} // namespace kudo
