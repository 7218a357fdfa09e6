// SPDX-License-Identifier: MIT
// Puts allow rules into a policy: its table of rules, the prefilters of their ports, and the tries' entries, each of
// which lists all rules whose prefix covers it.
#pragma once

#include <span>

#include "maps/allow/allow_rule.h"
#include "maps/compile/policy.h"

namespace kudo {

// The rules keep their order, from index 1 on. Errors (BadInput): more than KUDO_MAX_ALLOW - 1 rules, or more than
// KUDO_MAX_ALLOW_CANDIDATES over one prefix, which are named.
Result<void> add_allow_rules(std::span<const AllowRule> rules, CompiledPolicy& compiled);

} // namespace kudo
