// SPDX-License-Identifier: MIT
#include "agent/datapath/slot_names.h"

#include <bpf/bpf.h>

#include <bitset>
#include <cstring>

#include "agent/datapath/generation.h"

namespace kudo {
namespace {

using SlotSet = std::bitset<KUDO_MAX_SERVICES>;

// No service has this name. A slot that still has it was being taken from its name when its writer was killed.
constexpr std::string_view being_emptied = "~";

Result<SlotName> read_name(const DataPath::Maps& maps, uint32_t slot) {
    kudo_service_name value{};
    if (bpf_map_lookup_elem(maps.services.get(), &slot, &value) != 0) return fail_errno("cannot read a service's name");
    value.name[sizeof value.name - 1] = '\0';
    return SlotName{value.name, value.since};
}

Result<void> write_name(const DataPath::Maps& maps, uint32_t slot, std::string_view name, uint32_t since) {
    kudo_service_name value{};
    value.since = since;
    name.copy(value.name, sizeof value.name - 1);
    if (bpf_map_update_elem(maps.services.get(), &slot, &value, BPF_ANY) != 0)
        return fail_errno("cannot write a service's name");
    return {};
}

// Those that the active generation's ranges name: no packet is counted for any other.
Result<SlotSet> counted_slots(const DataPath::Maps& maps) {
    const auto active = KUDO_TRY(read_active(maps));
    SlotSet slots;
    const auto add = [&](const auto& entries) {
        for (const auto& [key, match] : entries)
            for (const kudo_candidate& candidate : match.candidates)
                slots.set(candidate.service % KUDO_MAX_SERVICES);
    };
    add(active.compiled.entries4);
    add(active.compiled.entries6);
    return slots;
}

// Nothing is counted for these slots by any program.
Result<void> empty_slots(const DataPath::Maps& maps, const SlotSet& slots) {
    auto cpus = KUDO_TRY(Mapped<kudo_cpu>::map(maps.cpus.get(), "the counters"));
    for (uint32_t slot = 1; slot < slots.size(); slot++)
        if (slots.test(slot)) KUDO_TRY(write_name(maps, slot, being_emptied, 0));
    for (kudo_cpu& cpu : cpus.elements())
        for (std::size_t slot = 0; slot < slots.size(); slot++)
            if (slots.test(slot)) std::memset(cpu.counters.services[slot], 0, sizeof cpu.counters.services[slot]);
    return {};
}

} // namespace

Result<SlotNames> read_slot_names(const DataPath::Maps& maps) {
    SlotNames names;
    for (uint32_t slot = 1; slot < KUDO_MAX_SERVICES; slot++) {
        auto name = KUDO_TRY(read_name(maps, slot));
        if (name.name != being_emptied) names[slot] = std::move(name);
    }
    return names;
}

Result<ServiceSlots> read_service_slots(const DataPath::Maps& maps) {
    const auto names = KUDO_TRY(read_slot_names(maps));
    return slots_of(names);
}

ServiceSlots slots_of(const SlotNames& names) {
    ServiceSlots slots;
    for (std::size_t slot = 1; slot < names.size(); slot++)
        if (!names[slot].name.empty()) slots.emplace(names[slot].name, static_cast<uint8_t>(slot));
    return slots;
}

Result<std::vector<uint8_t>> idle_slots(const DataPath::Maps& maps, const ServiceSlots& slots) {
    const auto counted = KUDO_TRY(counted_slots(maps));
    std::vector<uint8_t> idle;
    for (const auto& [name, slot] : slots)
        if (!counted.test(slot)) idle.push_back(slot);
    return idle;
}

Result<void> write_service_names(const DataPath::Maps& maps, const ServiceSlots& slots, uint32_t generation) {
    std::vector<std::pair<uint32_t, std::string>> changed;
    SlotSet taken;
    for (const auto& [name, slot] : slots) {
        const auto present = KUDO_TRY(read_name(maps, slot));
        if (present.name == name) continue;
        changed.emplace_back(slot, name);
        if (!present.name.empty()) taken.set(slot);
    }
    if (taken.any()) {
        const auto counted = KUDO_TRY(counted_slots(maps));
        if ((counted & taken).any()) return fail("a service that is in use would lose its counters; try again");
        KUDO_TRY(empty_slots(maps, taken));
    }
    for (const auto& [slot, name] : changed)
        KUDO_TRY(write_name(maps, slot, name, generation));
    return {};
}

} // namespace kudo
