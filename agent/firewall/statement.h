// SPDX-License-Identifier: MIT
// The statements of a rule (libnftables-json(5), "STATEMENTS").
// Invariant: a statement that is not known may do anything.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "agent/firewall/expression.h"

namespace kudo::firewall {

// What named objects have counted, by name.
using Counters = std::map<std::string, uint64_t>;

std::vector<Statement> read_statements(const Json& expressions, const Sets& sets, const Counters& counters);

} // namespace kudo::firewall
