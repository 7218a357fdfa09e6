// SPDX-License-Identifier: MIT
// From nftables' JSON to the model.
#pragma once

#include <map>
#include <string>
#include <tuple>
#include <vector>

#include "agent/firewall/expression.h"
#include "agent/firewall/model.h"
#include "maps/base/result.h"

namespace kudo::firewall {

// The words of each rule, by family, table and handle: from `nft -a list ruleset`.
using RuleTexts = std::map<std::tuple<std::string, std::string, uint64_t>, std::string>;
RuleTexts read_texts(std::string_view listing);

// {"nftables": [...]}: tables, chains, rules, sets, maps and counters, added to the model. Words of rules from `texts`,
// else their JSON. `legacy`: all of it is of iptables-legacy.
Result<void> read_ruleset_json(const Json& document, const RuleTexts& texts, bool legacy, Model& model);

} // namespace kudo::firewall
