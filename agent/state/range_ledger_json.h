// SPDX-License-Identifier: MIT
// The ledger of range maps as JSON, as the state file holds it.
// Invariant: range_ledger_from_json(to_json(ledger)) gives the ledger back.
#pragma once

#include <string_view>

#include <nlohmann/json_fwd.hpp>

#include "agent/state/range_ledger.h"

namespace kudo {

nlohmann::json to_json(const RangeLedger& ledger);
// Throws nlohmann's exceptions or std::out_of_range on anything unexpected.
RangeLedger range_ledger_from_json(const nlohmann::json& json);

} // namespace kudo
