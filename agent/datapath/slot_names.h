// SPDX-License-Identifier: MIT
// The kernel's table of services: which name each slot has, and how a slot goes from one name to another.
// Invariant: whoever reads the same names before and after the counters and flows has counters and flows of these
// names; docs/decisions/2026-11-26-service-slots.md.
#pragma once

#include <array>
#include <string>
#include <vector>

#include "agent/datapath/datapath.h"
#include "maps/compile/compile.h"

namespace kudo {

// A slot's name, and the first generation in which it has it: what an older one judged was for another name.
struct SlotName {
    std::string name; // empty: the slot is free
    uint32_t since = 0;
    bool operator==(const SlotName&) const = default;
};
using SlotNames = std::array<SlotName, KUDO_MAX_SERVICES>; // by slot

Result<SlotNames> read_slot_names(const DataPath::Maps& maps);
ServiceSlots slots_of(const SlotNames& names);
// Both.
Result<ServiceSlots> read_service_slots(const DataPath::Maps& maps);

// The slots that no packet can be counted for now. The caller holds the lock.
Result<std::vector<uint8_t>> idle_slots(const DataPath::Maps& maps, const ServiceSlots& slots);

// Writes the names, new ones as of this generation, which is not active yet. What was counted for another name that a
// slot had is forgotten first. An Error, and nothing is changed, if packets are counted for such a slot now. The caller
// holds the lock and has waited for the readers of older generations than the active one.
Result<void> write_service_names(const DataPath::Maps& maps, const ServiceSlots& slots, uint32_t generation);

} // namespace kudo
