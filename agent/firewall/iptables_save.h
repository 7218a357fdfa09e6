// SPDX-License-Identifier: MIT
// What iptables-save(8) prints, as the JSON that nftables would print of the same rules, so that one reader and one
// evaluation serve both. Of the matches those of everyday rulesets are understood; others are conditions that are not
// known (iptables-extensions(8)).
// Invariant: a word that is not understood never makes a rule match more surely than it does.
#pragma once

#include <string>
#include <string_view>

#include "agent/firewall/json.h"

namespace kudo::firewall {

// `family`: "ip" or "ip6". Rules have their number in the chain, from 1, for a handle, and their line as "text".
Json ruleset_of_save(std::string_view text, const std::string& family);

// Replaces, in nftables' own JSON, rules that use extensions of iptables-nft ("xt"), which nftables does not tell
// apart, by what iptables-nft-save tells of them: chain by chain, where both have the same number of rules.
void replace_extensions(Json& document, const Json& saved);

} // namespace kudo::firewall
