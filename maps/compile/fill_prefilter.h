// SPDX-License-Identifier: MIT
// Fills the prefilters of a policy.
// Invariant: for every address of every given prefix its bit is set (bpf/prefilter.h says which).
#pragma once

#include <span>

#include "maps/compile/trie_entries.h"

namespace kudo {

void fill_prefilters(kudo_policy& policy, std::span<const TrieEntry> entries);

} // namespace kudo
