// SPDX-License-Identifier: MIT
#include "agent/reconcile/reconcile.h"
#include "agent/datapath/pin_folder.h"

#include <algorithm>
#include <map>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <spdlog/spdlog.h>

#include "agent/attach/attachment.h"
#include "agent/datapath/generation.h"
#include "agent/datapath/slot_names.h"
#include "agent/netlink/interfaces.h"
#include "agent/queues/queues.h"
#include "agent/reconcile/teardown.h"
#include "agent/state/range_store.h"
#include "agent/state/wanted_interfaces.h"
#include "agent/system/capabilities.h"
#include "agent/system/lock.h"
#include "maps/compile/combine.h"
#include "maps/compile/service_slots.h"

namespace kudo {
namespace {

// The data path with this policy active; made if there is none.
Result<DataPath> ensure_policy(const Instance& instance, const DesiredState& desired, const CompiledPolicy& compiled,
                               ReconcileReport& report) {
    auto data_path = DataPath::open(instance);
    if (!data_path && data_path.error().kind != ErrorKind::NotEnabled) return data_path;
    if (!data_path) {
        // Somebody has deleted pins by hand: what is left is no data path.
        if (std::filesystem::exists(instance.layout())) KUDO_TRY(teardown(instance));
        KUDO_TRY(prepare_pin_folder(instance));
        report.changed = true;
        return DataPath::create(instance, desired.max_flows, [&](DataPath& fresh) -> Result<void> {
            KUDO_TRY(publish(fresh.maps(), compiled));
            return {};
        });
    }
    if (auto active = read_active(data_path->maps()); active && active->generation != 0) {
        const auto hash = active->hash();
        if (std::equal(hash.begin(), hash.end(), compiled.policy->content_hash)) return data_path;
    }
    KUDO_TRY(publish(data_path->maps(), compiled));
    report.changed = true;
    return data_path;
}

Result<void> ensure_attachments(DataPath& data_path, const DesiredState& desired,
                                const std::vector<Interface>& interfaces, ReconcileReport& report) {
    for (const Interface& interface : interfaces) {
        auto result = KUDO_TRY(attach(data_path, interface, desired.attach_options()));
        // The programs mark for the queue before packets have to go through it.
        auto queues = KUDO_TRY(ensure_queues(data_path, interface, desired.queues));
        report.changed |= result.changed || queues.uplink.changed || queues.downlink.changed;
        report.interfaces.push_back({interface.name, std::string(hook_name(*result.attached.ingress)),
                                     std::string(hook_name(*result.attached.egress)), result.note, std::move(queues)});
    }
    for (const uint32_t index : held_interfaces(data_path.folder())) {
        if (std::ranges::find(interfaces, index, &Interface::index) != interfaces.end()) continue;
        report.changed |= KUDO_TRY(release_interfaces(data_path.folder(), index));
    }
    return {};
}

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

// What a desired state comes to. All that can be wrong with it is found here, before anything is changed.
struct Plan {
    CompiledPolicy compiled; // with the service slots of the data path that is there
    WantedInterfaces wanted;
    bool reduced = false; // not all that is early or retiring fits
};
Result<Plan> plan(const Instance& instance, const DesiredState& desired, Interfaces interfaces, ParsedMaps* parsed) {
    ServiceSlots slots;
    std::vector<uint8_t> reusable;
    const auto data_path = DataPath::open(instance);
    if (data_path) {
        slots = KUDO_TRY(read_service_slots(data_path->maps()));
        auto size = KUDO_TRY(map_size(data_path->maps().flows4.get()));
        if (size != desired.max_flows)
            return bad_input(fmt::format("--max-flows {}: the flow table has {} entries and keeps them until disable",
                                         desired.max_flows, size));
    }
    auto maps = KUDO_TRY(load_honoured_maps(instance, desired, parsed));
    const CompileOptions options = desired.compile_options();
    if (data_path && slots.size() + without_slot(maps.combined(), options, slots) >= KUDO_MAX_SERVICES)
        reusable = KUDO_TRY(reusable_slots(instance, desired.ranges, *data_path, slots));
    const std::size_t problems = maps.problems.size();
    auto compiled = KUDO_TRY(compile_honoured(maps, options, slots, reusable));
    const bool reduced = maps.problems.size() > problems;
    auto wanted = KUDO_TRY(find_wanted_interfaces(desired, interfaces == Interfaces::MustExist));
    for (const Interface& interface : wanted.present)
        KUDO_TRY(check_queues(instance, interface, desired.queues));
    std::ranges::move(maps.problems, std::back_inserter(wanted.warnings));
    return Plan{std::move(compiled), std::move(wanted), reduced};
}

Result<ReconcileReport> reconcile(const Instance& instance, const DesiredState& desired, const Plan& plan) {
    ReconcileReport report;
    report.warnings = plan.wanted.warnings;
    report.prefixes4 = plan.compiled.entries4.size();
    report.prefixes6 = plan.compiled.entries6.size();
    KUDO_TRY(prepare_pin_folder(instance));
    auto data_path = KUDO_TRY(ensure_policy(instance, desired, plan.compiled, report));
    KUDO_TRY(ensure_attachments(data_path, desired, plan.wanted.present, report));
    data_path.remove_foreign_programs();
    report.generation = KUDO_TRY(active_generation(data_path.maps()));
    return report;
}

// Forgets a state that says no more than if the agent had never been here.
Result<void> save_or_forget(const Instance& instance, const DesiredState& state) {
    return state.enabled || !state.ranges.empty() ? save_desired_state(instance, state)
                                                  : forget_desired_state(instance);
}

// Makes the kernel equal to a state that is saved. If that fails, goes back to `before`.
Result<ReconcileReport> apply_plan(const Instance& instance, const DesiredState& before, const DesiredState& desired,
                                   const Plan& to_do, ParsedMaps* parsed) {
    // Somebody has deleted our pins: filters and queues, which have no owner, are still there. As long as they are,
    // nothing is built: with new pins nobody would look for them again.
    Result<void> orphans;
    if (before.enabled && !std::filesystem::exists(instance.layout())) orphans = remove_orphans();
    Result<ReconcileReport> report = orphans ? reconcile(instance, desired, to_do) : fail(orphans.error());
    if (report) return report;
    spdlog::debug("going back: {}", report.error().message);
    DesiredState restored = before;
    keep_highest(restored.ranges, desired.ranges);
    KUDO_TRY(save_or_forget(instance, restored));
    if (!orphans) return report;
    if (!before.enabled) {
        if (auto removed = teardown(instance); !removed) spdlog::debug("{}", removed.error().message);
    } else if (auto old = plan(instance, restored, Interfaces::MayBeMissing, parsed); old) {
        if (auto back = reconcile(instance, restored, *old); !back) spdlog::debug("{}", back.error().message);
    }
    return report;
}

Result<ReconcileReport> change_locked(const Instance& instance,
                                      const std::function<Result<void>(DesiredState&)>& change, Interfaces interfaces,
                                      ParsedMaps* parsed) {
    auto before = KUDO_TRY(load_desired_state(instance));
    DesiredState desired = before;
    KUDO_TRY(change(desired));
    std::optional<Plan> to_do;
    if (desired.enabled) to_do = KUDO_TRY(plan(instance, desired, interfaces, parsed));
    if (!is_same(before, desired)) KUDO_TRY(save_or_forget(instance, desired));
    if (!to_do) return ReconcileReport{};
    auto report = apply_plan(instance, before, desired, *to_do, parsed);
    if (!report || !to_do->reduced) return report;
    // The generation that is gone may have had the slots that were missing.
    auto now_that_fits = plan(instance, desired, Interfaces::MayBeMissing, parsed);
    if (!now_that_fits) return report;
    auto whole = apply_plan(instance, desired, desired, *now_that_fits, parsed);
    if (whole) whole->changed |= report->changed;
    return whole;
}

} // namespace

Result<ReconcileReport> change_and_reconcile(const Instance& instance,
                                             const std::function<Result<void>(DesiredState&)>& change,
                                             Interfaces interfaces, std::chrono::milliseconds timeout,
                                             ParsedMaps* parsed) {
    KUDO_TRY(check_capabilities());
    KUDO_TRY(check_layout_is_ours(instance));
    const Fd lock = KUDO_TRY(lock_folder(instance.state_dir, timeout));
    auto report = change_locked(instance, change, interfaces, parsed);
    // Documents that no state names: of this change if it failed, of older ones if not.
    if (const auto state = load_desired_state(instance)) prune_range_maps(instance, *state);
    return report;
}

Result<bool> disable(const Instance& instance) {
    KUDO_TRY(check_capabilities());
    KUDO_TRY(check_layout_is_ours(instance));
    const Fd lock = KUDO_TRY(lock_folder(instance.state_dir, lock_timeout));
    auto state = load_desired_state(instance);
    // Neither a state that cannot be read nor one that cannot be written keeps anybody from switching us off.
    DesiredState desired = state ? *state : fresh_state(instance);
    const bool desired_enabled = desired.enabled;
    const bool was_enabled = desired.enabled || has_pins(instance);
    Result<void> saved;
    if (was_enabled || !state) {
        desired.enabled = false;
        saved = save_desired_state(instance, desired);
    }
    if (desired_enabled && !std::filesystem::exists(instance.layout())) KUDO_TRY(remove_orphans());
    KUDO_TRY(teardown(instance));
    if (!saved) return fail(std::move(saved.error()).in("everything is detached, but the state still says enabled"));
    prune_range_maps(instance, desired);
    if (desired.ranges.empty()) KUDO_TRY(forget_desired_state(instance));
    return was_enabled;
}

} // namespace kudo
