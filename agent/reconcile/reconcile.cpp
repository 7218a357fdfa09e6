// SPDX-License-Identifier: MIT
#include "agent/reconcile/reconcile.h"
#include "agent/datapath/pin_folder.h"

#include <algorithm>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <spdlog/spdlog.h>

#include "agent/attach/attachment.h"
#include "agent/datapath/generation.h"
#include "agent/datapath/slot_names.h"
#include "agent/netlink/interfaces.h"
#include "agent/queues/queues.h"
#include "agent/reconcile/slot_history.h"
#include "agent/reconcile/teardown.h"
#include "agent/state/range_store.h"
#include "agent/state/wanted_interfaces.h"
#include "agent/system/capabilities.h"
#include "agent/system/lock.h"
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
        if (std::any_of(interfaces.begin(), interfaces.end(),
                        [&](const auto& wanted) { return wanted.index == index; }))
            continue;
        auto detached = KUDO_TRY(release_interfaces(data_path.folder(), index));
        report.changed |= detached;
    }
    return {};
}

// How many chosen services have no slot yet.
std::size_t without_slot(const RangeMap& map, const CompileOptions& options, const ServiceSlots& slots) {
    return static_cast<std::size_t>(std::ranges::count_if(map.services, [&](const Service& service) {
        return is_chosen(service, options) && !slots.contains(slot_name(service.name));
    }));
}

// What a desired state comes to. All that can be wrong with it is found here, before anything is changed.
struct Plan {
    CompiledPolicy compiled; // with the service slots of the data path that is there
    WantedInterfaces wanted;
    bool reduced = false; // not all that is early or retiring fits
};
Result<Plan> plan(const Instance& instance, const DesiredState& desired, Interfaces interfaces) {
    ServiceSlots slots;
    std::vector<uint8_t> reusable;
    const auto data_path = DataPath::open(instance);
    if (data_path) {
        auto taken = KUDO_TRY(read_service_slots(data_path->maps()));
        slots = std::move(taken);
        auto size = KUDO_TRY(map_size(data_path->maps().flows4.get()));
        if (size != desired.max_flows)
            return bad_input(fmt::format("--max-flows {}: the flow table has {} entries and keeps them until disable",
                                         desired.max_flows, size));
    }
    auto maps = KUDO_TRY(load_honoured_maps(instance, desired));
    const CompileOptions options = desired.compile_options();
    if (data_path && slots.size() + without_slot(maps.combined(), options, slots) >= KUDO_MAX_SERVICES) {
        auto idle = KUDO_TRY(reusable_slots(instance, desired.ranges, *data_path, slots));
        reusable = std::move(idle);
    }
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
    KUDO_TRY(prepare_pin_folder(instance));
    auto data_path = KUDO_TRY(ensure_policy(instance, desired, plan.compiled, report));
    KUDO_TRY(ensure_attachments(data_path, desired, plan.wanted.present, report));
    data_path.remove_foreign_programs();
    auto generation = KUDO_TRY(active_generation(data_path.maps()));
    report.generation = generation;
    return report;
}

// Forgets a state that says no more than if the agent had never been here.
Result<void> save_or_forget(const Instance& instance, const DesiredState& state) {
    return state.enabled || !state.ranges.empty() ? save_desired_state(instance, state)
                                                  : forget_desired_state(instance);
}

// Makes the kernel equal to a state that is saved. If that fails, goes back to `before`.
Result<ReconcileReport> apply_plan(const Instance& instance, const DesiredState& before, const DesiredState& desired,
                                   const Plan& to_do) {
    // Somebody has deleted our pins: filters, which have no owner, are still there.
    if (before.enabled && !std::filesystem::exists(instance.layout())) KUDO_TRY(remove_orphans());
    auto report = reconcile(instance, desired, to_do);
    if (report) return report;
    spdlog::debug("going back: {}", report.error().message);
    DesiredState restored = before;
    keep_highest(restored.ranges, desired.ranges);
    KUDO_TRY(save_or_forget(instance, restored));
    if (!before.enabled) {
        if (auto removed = teardown(instance); !removed) spdlog::debug("{}", removed.error().message);
    } else if (auto old = plan(instance, restored, Interfaces::MayBeMissing); old) {
        if (auto back = reconcile(instance, restored, *old); !back) spdlog::debug("{}", back.error().message);
    }
    return report;
}

// Does `work` under the lock.
Result<ReconcileReport> locked(const Instance& instance, std::chrono::milliseconds timeout,
                               const std::function<Result<ReconcileReport>()>& work) {
    KUDO_TRY(check_capabilities());
    KUDO_TRY(check_layout_is_ours(instance));
    const Fd lock = KUDO_TRY(lock_folder(instance.state_dir, timeout));
    return work();
}

Result<ReconcileReport> change_locked(const Instance& instance,
                                      const std::function<Result<void>(DesiredState&)>& change, Interfaces interfaces) {
    auto before = KUDO_TRY(load_desired_state(instance));
    DesiredState desired = before;
    KUDO_TRY(change(desired));
    std::optional<Plan> to_do;
    if (desired.enabled) {
        auto checked = KUDO_TRY(plan(instance, desired, interfaces));
        to_do = std::move(checked);
    }
    if (!is_same(before, desired)) KUDO_TRY(save_or_forget(instance, desired));
    if (!to_do) return ReconcileReport{};
    auto report = apply_plan(instance, before, desired, *to_do);
    if (!report || !to_do->reduced) return report;
    // The generation that is gone may have had the slots that were missing.
    auto now_that_fits = plan(instance, desired, Interfaces::MayBeMissing);
    if (!now_that_fits) return report;
    auto whole = apply_plan(instance, desired, desired, *now_that_fits);
    if (whole) whole->changed |= report->changed;
    return whole;
}

} // namespace

Result<ReconcileReport> change_and_reconcile(const Instance& instance,
                                             const std::function<Result<void>(DesiredState&)>& change,
                                             Interfaces interfaces, std::chrono::milliseconds timeout) {
    return locked(instance, timeout, [&]() -> Result<ReconcileReport> {
        auto report = change_locked(instance, change, interfaces);
        // Documents that nobody names: of this change if it failed, of older ones if not.
        if (auto state = load_desired_state(instance)) KUDO_TRY(prune_range_maps(instance, *state));
        return report;
    });
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
    KUDO_TRY(prune_range_maps(instance, desired));
    if (desired.ranges.empty()) KUDO_TRY(forget_desired_state(instance));
    return was_enabled;
}

} // namespace kudo
