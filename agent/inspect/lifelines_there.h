// SPDX-License-Identifier: MIT
// The lifelines that the kernel's policy has, told by name.
// Invariant: pure; what it tells is from the policy that was read back, not from what was wanted.
#pragma once

#include <vector>

#include "agent/lifelines/lifelines.h"
#include "maps/compile/policy.h"

namespace kudo {

// Fills in_kernel of each, in the policy's order. A rule that none of them has now, of a resolver of before for
// instance, is put to the one whose kind it is.
void read_lifelines_there(const CompiledPolicy& policy, std::vector<Lifeline>& lifelines);

// What of its rules the kernel does not have, and what it has beyond them: a clause; empty: neither.
std::string lifeline_difference(const Lifeline& lifeline);

} // namespace kudo
