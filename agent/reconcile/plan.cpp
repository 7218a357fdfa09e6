// SPDX-License-Identifier: MIT
#include "agent/reconcile/plan.h"

#include <algorithm>
#include <map>

#include <fmt/format.h>

#include "agent/datapath/generation.h"
#include "agent/datapath/slot_names.h"
#include "agent/state/last_interfaces.h"
#include "maps/compile/combine.h"
#include "maps/compile/service_slots.h"

namespace kudo {
namespace {

// How many chosen services have no slot yet.
std::size_t without_slot(const RangeMap& map, const CompileOptions& options, const ServiceSlots& slots) {
    return static_cast<std::size_t>(std::ranges::count_if(map.services, [&](const Service& service) {
        return is_chosen(service, options) && !slots.contains(slot_name(service.name));
    }));
}

// When each service was last asked for by a map: the number of its entry in the history.
std::map<std::string, std::size_t, std::less<>> last_asked_for(const Instance& instance, const RangeLedger& ledger) {
    std::map<std::string, std::size_t, std::less<>> last;
    for (std::size_t number = 0; number < ledger.history.size(); number++) {
        const HistoryEntry& entry = ledger.history[number];
        if (!entry.took_effect()) continue;
        const auto map = load_document(instance, entry.map.hash);
        if (!map) continue;
        for (const Service& service : map->services)
            last[service.name] = number + 1;
    }
    return last;
}

// The slots that no packet can be counted for now, those of the longest unused names first, as far as the history of
// range maps tells.
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

Result<void> check_flow_table(const DataPath& data_path, const DesiredState& desired) {
    const uint32_t size = KUDO_TRY(map_size(data_path.maps().flows4.get()));
    if (size == desired.max_flows) return {};
    return bad_input(fmt::format("--max-flows {}: the flow table has {} entries and keeps them until disable",
                                 desired.max_flows, size));
}

// Is the map in effect, whose document cannot be read, what the kernel judges by?
bool kernel_has_active_map(const DataPath& data_path, const DesiredState& desired) {
    const auto policy = read_active_policy(data_path.maps());
    return policy && policy->generation != 0 && policy->serial == desired.ranges.active.serial;
}

Result<CompiledPolicy> compile_for(const Instance& instance, const DesiredState& desired, HonouredMaps& maps,
                                   const DataPath* data_path) {
    const CompileOptions options = KUDO_TRY(desired.compile_options(desired.lifeline_facts()));
    if (!data_path) return compile_honoured(maps, options);
    const ServiceSlots slots = KUDO_TRY(read_service_slots(data_path->maps()));
    std::vector<uint8_t> reusable;
    if (slots.size() + without_slot(maps.combined(), options, slots) >= KUDO_MAX_SERVICES)
        reusable = KUDO_TRY(reusable_slots(instance, desired.ranges, *data_path, slots));
    return compile_honoured(maps, options, slots, reusable);
}

} // namespace

Result<Plan> make_plan(const Instance& instance, const DesiredState& desired, Asked asked, bool same_options,
                       ParsedMaps* parsed) {
    Plan plan;
    const auto data_path = DataPath::open(instance);
    if (data_path && asked == Asked::Everything) KUDO_TRY(check_flow_table(*data_path, desired));
    auto maps = KUDO_TRY(load_honoured_maps(instance, desired, parsed));
    // The document of the map in effect is lost, but the kernel still judges by it: it is left there.
    const bool keeps_policy =
        !maps.lost.empty() && same_options && data_path && kernel_has_active_map(*data_path, desired);
    plan.serial = keeps_policy ? desired.ranges.active.serial : maps.active.map.serial;
    plan.source = keeps_policy ? desired.ranges.active.source : maps.active.source;
    if (!keeps_policy) {
        const std::size_t known = maps.problems.size();
        auto compiled = compile_for(instance, desired, maps, data_path ? &*data_path : nullptr);
        plan.reduced = maps.problems.size() > known;
        if (compiled)
            plan.compiled = std::move(*compiled);
        else if (asked != Asked::Nothing)
            return fail(std::move(compiled.error()));
        else
            plan.problems.push_back({"policy", std::move(compiled.error())});
    }
    auto wanted = find_wanted_interfaces(desired, maps.combined(), instance.layout(), asked == Asked::Everything,
                                         last_interfaces(instance));
    if (wanted)
        plan.wanted = std::move(*wanted);
    else if (asked == Asked::Everything)
        return fail(std::move(wanted.error()));
    else
        plan.problems.push_back({"interfaces", std::move(wanted.error())});
    plan.knows_interfaces = wanted.has_value();
    if (asked == Asked::Everything)
        for (const Interface& interface : plan.wanted.present)
            KUDO_TRY(check_queues(instance, interface, desired.queues));
    if (desired.has_lifelines())
        for (const Lifeline& lifeline : make_lifelines(desired.lifeline_facts(), desired.lifelines))
            if (lifeline.stale || lifeline.reduced)
                plan.wanted.warnings.push_back(fmt::format("lifeline {}: {}", lifeline.name, lifeline.note));
    if (!maps.lost.empty()) plan.wanted.warnings.push_back(maps.lost);
    std::ranges::move(maps.problems, std::back_inserter(plan.wanted.warnings));
    return plan;
}

} // namespace kudo
