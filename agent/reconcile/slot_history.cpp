// SPDX-License-Identifier: MIT
#include "agent/reconcile/slot_history.h"

#include <algorithm>
#include <map>
#include <string>

#include "agent/state/range_store.h"
#include "maps/compile/combine.h"

namespace kudo {

namespace {

// When each service was last asked for by a map: the number of its entry in the history.
std::map<std::string, std::size_t, std::less<>> last_asked_for(const Instance& instance, const RangeLedger& ledger) {
    std::map<std::string, std::size_t, std::less<>> last;
    for (std::size_t number = 0; number < ledger.history.size(); number++) {
        const HistoryEntry& entry = ledger.history[number];
        if (entry.event != RangeEvent::Activated && entry.event != RangeEvent::RolledBack) continue;
        const auto map = load_document(instance, entry.map.hash);
        if (!map) continue;
        for (const Service& service : map->services)
            last[service.name] = number + 1;
    }
    return last;
}

} // namespace

Result<std::vector<uint8_t>> reusable_slots(const Instance& instance, const RangeLedger& ledger,
                                            const DataPath& data_path, const ServiceSlots& slots) {
    auto idle = KUDO_TRY(idle_slots(data_path.maps(), slots));
    const auto last = last_asked_for(instance, ledger);
    std::map<uint8_t, std::size_t> asked;
    for (const auto& [name, slot] : slots)
        if (const auto found = last.find(parts_of(name).service); found != last.end()) asked[slot] = found->second;
    std::ranges::sort(idle, {}, [&](uint8_t slot) {
        const auto found = asked.find(slot);
        return std::pair(found == asked.end() ? 0 : found->second, slot);
    });
    return idle;
}

} // namespace kudo
