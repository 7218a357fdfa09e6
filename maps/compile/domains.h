// SPDX-License-Identifier: MIT
// The domains of a policy's services, as the kernel's programs look names up in them (bpf/domains.h).
// Invariant: a domain has the services of all domains that cover it, those of the most specific one first, so that one
// lookup tells all.
#pragma once

#include <string>
#include <vector>

#include "bpf/abi.h"
#include "maps/base/result.h"
#include "maps/compile/trie_entries.h"

namespace kudo {

// Fills the policy's `domains`, `domain_multiplier` and `domain_bloom`. Bad input: more domains, or services of one,
// than there is room for. `exact`: without wildcards.
Result<void> add_domains(kudo_policy& policy, const std::vector<SlottedService>& services, bool exact = false);

// As range maps write it: "live.kudoway.ca", "*.tokbox.com".
std::string domain_text(const kudo_domain& domain);
// The policy's domains that are names themselves, no wildcards; sorted.
std::vector<std::string> exact_names(const kudo_policy& policy);

} // namespace kudo
