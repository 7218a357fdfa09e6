// SPDX-License-Identifier: MIT
// The domains of a policy's services, as the kernel's programs look names up in them (bpf/domains.h).
// Invariant: a domain has the services of all domains that cover it, those of the most specific one first, so that one
// lookup tells all.
#pragma once

#include <vector>

#include "bpf/abi.h"
#include "maps/base/result.h"
#include "maps/compile/trie_entries.h"

namespace kudo {

// Fills the policy's `domains`, `domain_multiplier` and `domain_bloom`. Bad input: more domains, or services of one,
// than there is room for.
Result<void> add_domains(kudo_policy& policy, const std::vector<SlottedService>& services);

} // namespace kudo
