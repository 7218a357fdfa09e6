// SPDX-License-Identifier: MIT
// Expressions, literals, sets and verdicts of nftables' JSON (libnftables-json(5), "EXPRESSIONS").
// Invariant: what is not understood becomes Unknown.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "agent/firewall/json.h"
#include "agent/firewall/model.h"

namespace kudo::firewall {

// The named sets and maps of a table: the key is "@name".
using Sets = std::map<std::string, std::shared_ptr<const Set>>;

Expression read_expression(const Json& json, const Sets& sets);
Literal read_literal(const Json& json);
// The elements of a set or map; `is_map`: each is a pair of key and data.
std::shared_ptr<const Set> read_elements(const Json& elements, bool is_map);
// The right side of a match: a set of its own, "@name", or one value.
std::shared_ptr<const Set> read_right(const Json& json, const Sets& sets);
// {"drop": null}, {"jump": {"target": "name"}}; nothing: it is no verdict.
std::optional<Verdict> read_verdict(const Json& json);

} // namespace kudo::firewall
