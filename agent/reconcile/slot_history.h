// SPDX-License-Identifier: MIT
// Which service slots may go to other names, as far as the history of range maps tells.
#pragma once

#include <cstdint>
#include <vector>

#include "agent/datapath/slot_names.h"
#include "agent/state/desired_state.h"
#include "agent/system/instance.h"

namespace kudo {

// The slots that no packet can be counted for now, those of the longest unused names first. The caller holds the lock.
Result<std::vector<uint8_t>> reusable_slots(const Instance& instance, const RangeLedger& ledger,
                                            const DataPath& data_path, const ServiceSlots& slots);

} // namespace kudo
