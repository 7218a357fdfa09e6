// SPDX-License-Identifier: MIT
#include "agent/reconcile/reconcile.h"
#include "agent/datapath/pin_folder.h"

#include <unistd.h>

#include <algorithm>
#include <optional>
#include <tuple>

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include "agent/attach/attachment.h"
#include "agent/datapath/denied.h"
#include "agent/datapath/generation.h"
#include "agent/drops/tracing.h"
#include "agent/firewall_sets/sets.h"
#include "agent/lifelines/ancestry.h"
#include "agent/lifelines/host_facts.h"
#include "agent/queues/queues.h"
#include "agent/reconcile/plan.h"
#include "agent/reconcile/spoken_flows.h"
#include "agent/reconcile/teardown.h"
#include "agent/state/last_interfaces.h"
#include "agent/state/range_store.h"
#include "agent/system/capabilities.h"
#include "agent/system/lock.h"
#include "agent/system/ownership.h"
#include "maps/base/text.h"

namespace kudo {
namespace {

// The kernel's objects on their way to what a plan wants.
class Reconciling {
public:
    Reconciling(const Instance& instance, const DesiredState& desired, const Plan& plan, Asked asked, Retries* retries)
        : instance_(instance), desired_(desired), plan_(plan), asked_(asked), retries_(retries) {
        report_.warnings = plan.wanted.warnings;
        report_.problems = plan.problems;
        report_.serial = plan.serial;
        report_.source = plan.source;
        if (!plan.compiled) return;
        report_.prefixes4 = plan.compiled->entries4.size();
        report_.nat64 = count_nat64(*plan.compiled, desired.compile_options());
        report_.prefixes6 = plan.compiled->entries6.size() - report_.nat64;
    }

    // An Error: there is no data path to go on with, or not with the policy that the caller asked for.
    Result<ReconcileReport> run() {
        KUDO_TRY(ensure_data_path());
        if (plan_.knows_interfaces) {
            for (const Interface& interface : plan_.wanted.present)
                ensure_interface(interface);
            release_unwanted();
            attempt("interface names", [&] { return remember_names(plan_.wanted, data_path_->folder()); });
            note_interfaces();
        }
        if (desired_.firewall != FirewallSync::Off) attempt(firewall_object, [&] { return finish_firewall_sets(); });
        attempt(drops_object, [&]() -> Result<void> {
            report_.changed |= KUDO_TRY(ensure_tracing(*data_path_));
            return {};
        });
        data_path_->remove_foreign_programs();
        Removed unpinned = remove_unpinned_links(instance_);
        report_.changed |= unpinned.any;
        for (std::string& left : unpinned.left)
            report_.problems.push_back({"", Error{ErrorKind::Failed, std::move(left), 0}});
        // Of what is published already: not to know its number takes nothing back.
        if (const auto generation = active_generation(data_path_->maps()))
            report_.generation = *generation;
        else
            report_.problems.push_back({"policy", generation.error()});
        return std::move(report_);
    }

private:
    // Tries `make` unless it is too early to do so again. What is wrong is noted under the object's name.
    template <typename Make> bool attempt(const std::string& object, const Make& make) {
        Result<void> made;
        if (auto left = retries_ ? retries_->not_yet(object) : std::nullopt) {
            made = fail(std::move(*left));
        } else {
            made = make();
            note(object, made ? std::nullopt : std::optional(made.error()));
        }
        if (!made && std::ranges::find(report_.problems, object, &Problem::object) == report_.problems.end())
            report_.problems.push_back({object, std::move(made.error())});
        return made.has_value();
    }
    void note(const std::string& object, const std::optional<Error>& error) {
        if (!retries_) return;
        if (error)
            retries_->failed(object, *error);
        else
            retries_->worked(object);
    }

    Result<void> ensure_data_path() {
        KUDO_TRY(prepare_pin_folder(instance_));
        auto present = DataPath::open(instance_);
        if (present) {
            data_path_.emplace(std::move(*present));
            KUDO_TRY(data_path_->mend_folders(instance_));
            if (!plan_.compiled) return {};
            if (asked_ != Asked::Nothing) return ensure_policy();
            attempt("policy", [&] { return ensure_policy(); }); // else the generation that is there goes on judging
            return {};
        }
        // ENOENT: somebody has deleted some of its pins by hand; what it has attached is taken over.
        if (present.error().number != ENOENT) return fail(std::move(present.error()));
        if (!plan_.compiled) return fail(Error(plan_.problems.front().error));
        widen_firewall_sets_first();
        data_path_.emplace(
            KUDO_TRY(DataPath::create(instance_, desired_.max_flows, [&](DataPath& fresh) -> Result<void> {
                enter_open_flows(fresh, KUDO_ADMISSION_NONE);
                KUDO_TRY(publish(fresh.maps(), *plan_.compiled));
                return {};
            })));
        report_.changed = true;
        return {};
    }

    Result<void> ensure_policy() {
        auto admission = KUDO_ADMISSION_NONE;
        if (auto active = read_active(data_path_->maps()); active && active->generation != 0) {
            const auto hash = active->hash();
            if (std::equal(hash.begin(), hash.end(), plan_.compiled->policy->content_hash)) return {};
            admission = admission_now(*active->compiled.policy, HostMoment::now());
        }
        widen_firewall_sets_first();
        enter_open_flows(*data_path_, admission);
        KUDO_TRY(publish(data_path_->maps(), *plan_.compiled));
        report_.changed = true;
        if (admission != static_cast<kudo_admission>(plan_.compiled->policy->admission))
            attempt("denied flows", [&] { return clear_denied(data_path_->maps()); });
        return {};
    }

    // Before incoming packets are told by whether this host has spoken first: see spoken_flows.h. What fails is said
    // and keeps no one from going on.
    void enter_open_flows(const DataPath& data_path, kudo_admission before) {
        const uint32_t next = plan_.compiled->policy->admission;
        if (next == KUDO_ADMISSION_NONE || next == before) return;
        if (auto entered = enter_spoken_flows(data_path.maps()); !entered)
            report_.warnings.push_back(fmt::format("not all flows that are open now are known ({}): one in which only "
                                                   "the remote sends counts as unsolicited "
                                                   "until this host sends in it",
                                                   entered.error().message));
    }

    // So that no packet is lost to the administrator's rules between here and the new generation's first moment.
    void widen_firewall_sets_first() {
        if (desired_.firewall != FirewallSync::On) return;
        attempt(firewall_object, [&]() -> Result<void> {
            report_.changed |= KUDO_TRY(widen_firewall_sets(firewall_sets_of(*plan_.compiled)));
            return {};
        });
    }

    Result<void> finish_firewall_sets() {
        if (desired_.firewall == FirewallSync::Removing) {
            RemovedFirewallSets removed = KUDO_TRY(remove_firewall_sets());
            report_.changed |= removed.any;
            std::ranges::move(removed.kept, std::back_inserter(report_.warnings));
            return {};
        }
        const auto active = KUDO_TRY(read_active(data_path_->maps()));
        report_.changed |= KUDO_TRY(ensure_firewall_sets(firewall_sets_of(active.compiled)));
        return {};
    }

    void ensure_interface(const Interface& interface) {
        InterfaceReport line;
        line.name = interface.name;
        ensure_hooks_of(interface, line);
        // The programs mark for a queue before packets have to go through it. One whose program is missing is made all
        // the same: an older program may still be there, and without any the queue serves all packets alike.
        ensure_queues_of(interface, line);
        report_.interfaces.push_back(std::move(line));
    }

    void ensure_hooks_of(const Interface& interface, InterfaceReport& line) {
        const std::string in = interface.name + " ingress", out = interface.name + " egress";
        HooksLeftAlone left_alone;
        if (retries_) left_alone = {retries_->not_yet(in), retries_->not_yet(out)};
        AttachOptions options = desired_.attach_options();
        // Another program that comes to the front again and again is not fought for ever.
        const std::string front = interface.name + std::string(Retries::front);
        options.to_front = !retries_ || !retries_->not_yet(front);
        options.explains_refusal = asked_ == Asked::Everything;
        AttachResult result = attach(*data_path_, interface, options, left_alone);
        if (options.to_front)
            note(front, result.moved ? std::optional(Error{ErrorKind::Degraded, "another program was in front", 0})
                                     : std::nullopt);
        report_.changed |= result.changed;
        line.note = std::move(result.note);
        if (const auto note = plan_.wanted.notes.find(interface.index); note != plan_.wanted.notes.end())
            add_clause(line.note, note->second);
        Attached attached = result.attached;
        // What is there of a side that is not as desired; what cannot be read is not said to be there.
        if (result.ingress_problem || result.egress_problem)
            attached = read_attached(*data_path_, interface).value_or(Attached{});
        if (attached.ingress) line.ingress = hook_name(*attached.ingress);
        if (attached.egress) line.egress = hook_name(*attached.egress);
        for (const auto& [object, problem, left] :
             {std::tuple(in, &result.ingress_problem, left_alone.ingress.has_value()),
              {out, &result.egress_problem, left_alone.egress.has_value()}}) {
            if (!left) note(object, *problem);
            if (*problem) report_.problems.push_back({object, **problem});
        }
    }

    void ensure_queues_of(const Interface& interface, InterfaceReport& line) {
        const std::string up = interface.name + " uplink", down = interface.name + " downlink";
        QueuesLeftAlone left_alone;
        if (retries_) left_alone = {retries_->not_yet(up), retries_->not_yet(down)};
        auto queues = ensure_queues(*data_path_, interface, desired_.queues, left_alone);
        if (!queues) {
            report_.problems.push_back({interface.name + " queues", std::move(queues.error())});
            return;
        }
        for (const auto& [object, queue, left] : {std::tuple(up, &queues->uplink, left_alone.uplink.has_value()),
                                                  {down, &queues->downlink, left_alone.downlink.has_value()}}) {
            report_.changed |= queue->changed;
            if (!left) note(object, queue->problem);
            if (queue->problem) report_.problems.push_back({object, *queue->problem});
        }
        line.queues = std::move(*queues);
    }

    // Where that cannot be, on a full disk for instance, only the next boot is the worse for it.
    void note_interfaces() {
        if (!plan_.wanted.routes_tell) return;
        if (const auto noted = note_last_interfaces(instance_, plan_.wanted.present); !noted)
            report_.warnings.push_back("after a reboot packets are judged only once the service runs: " +
                                       noted.error().message);
    }

    void release_unwanted() {
        const auto& wanted = plan_.wanted.present;
        for (const uint32_t index : held_interfaces(data_path_->folder())) {
            if (std::ranges::find(wanted, index, &Interface::index) != wanted.end()) continue;
            attempt(fmt::format("interface #{}", index), [&]() -> Result<void> {
                report_.changed |= KUDO_TRY(release_interfaces(data_path_->folder(), index));
                return {};
            });
        }
    }

    const Instance& instance_;
    const DesiredState& desired_;
    const Plan& plan_;
    const Asked asked_;
    Retries* const retries_;
    ReconcileReport report_;
    std::optional<DataPath> data_path_;
};

// Forgets a state that says no more than if the agent had never been here.
Result<void> save_or_forget(const Instance& instance, const DesiredState& state) {
    return state.enabled || !state.ranges.empty() ? save_desired_state(instance, state)
                                                  : forget_desired_state(instance);
}

// Makes the kernel equal to a state that is saved.
Result<ReconcileReport> apply_plan(const Instance& instance, const DesiredState& before, const DesiredState& desired,
                                   const Plan& plan, Asked asked, Retries* retries) {
    // Before there are pins again, what has none goes: they were deleted, covered, or are in another bpffs.
    Removed orphans;
    const bool pins_are_lost = before.enabled && !has_pins(instance);
    if (!has_pins(instance)) orphans = remove_orphans(instance);
    auto report = Reconciling(instance, desired, plan, asked, retries).run();
    if (!report) return report;
    for (std::string& left : orphans.left)
        report->problems.push_back({"", Error{ErrorKind::Failed, std::move(left), 0}});
    for (const std::string& program : orphans.unknown)
        if (pins_are_lost)
            report->warnings.push_back(fmt::format("{}, perhaps kudo-agent's from before its pins were lost; only with "
                                                   "CAP_SYS_ADMIN can that be told: run kudo-agent enable as root once",
                                                   program));
    return report;
}

// From when on a session counts as new, for `confirm`. Where it cannot be noted, or the policy is not there yet, the
// next reconcile tries again.
void note_published(const Instance& instance, DesiredState& desired) {
    if (desired.mode != KUDO_ENFORCE || desired.enforcement.confirmed || desired.enforcement.published != 0) return;
    const auto data_path = DataPath::open(instance);
    const auto policy = data_path ? read_active_policy(data_path->maps()) : fail("no data path");
    if (!policy || policy->admission != KUDO_ADMISSION_ENFORCE || policy->deadline != desired.enforcement.deadline)
        return;
    desired.enforcement.last_login = last_login(); // first: of a login in between it is not known whether it is new
    desired.enforcement.published = HostMoment::now().since_boot;
    if (auto saved = save_desired_state(instance, desired); !saved) spdlog::debug("{}", saved.error().message);
}

// Saves the state that the failed change was made to.
Result<void> go_back(const Instance& instance, const DesiredState& before, const DesiredState& desired) {
    DesiredState restored = before;
    keep_highest(restored.ranges, desired.ranges);
    auto saved = save_or_forget(instance, restored);
    if (before.enabled) return saved;
    // Also where that fails, on a full disk for instance: what was not to be there is not left in the kernel.
    const Removed removed = teardown(instance);
    KUDO_TRY(saved);
    return removed.left.empty() ? Result<void>{} : Result<void>(fail(removed.left.front()));
}

// What of the host and its network has changed, by which lifelines and marks are made, is no option.
bool same_options(const DesiredState& before, const DesiredState& desired) {
    DesiredState as_before = desired;
    as_before.ranges = before.ranges;
    as_before.map_sources = before.map_sources;
    as_before.resolvers = before.resolvers;
    as_before.lost_marks = before.lost_marks;
    return is_same(before, as_before);
}

// For when the files that name them are gone: a host that loses them is not to lose its name servers too.
void remember_resolvers(DesiredState& desired) {
    if (!desired.has_lifelines()) return;
    LifelineFacts facts = read_resolvers();
    if (facts.resolvers_unread.empty()) desired.resolvers = std::move(facts.resolvers);
}

// Makes the kernel equal to the state on disk, which could not be replaced.
Result<ReconcileReport> heal_saved(const Instance& instance, ParsedMaps* parsed, Retries* retries, Error why) {
    const DesiredState saved = KUDO_TRY(load_desired_state(instance));
    if (!saved.enabled) return fail(std::move(why));
    const Plan plan = KUDO_TRY(make_plan(instance, saved, Asked::Nothing, true, parsed));
    auto report = KUDO_TRY(apply_plan(instance, saved, saved, plan, Asked::Nothing, retries));
    report.problems.push_back({"", std::move(why)});
    return report;
}

Result<ReconcileReport> change_locked(const Instance& instance,
                                      const std::function<Result<void>(DesiredState&)>& change, Asked asked,
                                      ParsedMaps* parsed, Retries* retries) {
    auto before = KUDO_TRY(load_desired_state(instance));
    DesiredState desired = before;
    KUDO_TRY(change(desired));
    remember_resolvers(desired);
    const bool changed = !is_same(before, desired);
    if (!changed && asked == Asked::Delivery) return ReconcileReport{};
    std::optional<Plan> plan;
    if (desired.enabled) plan = KUDO_TRY(make_plan(instance, desired, asked, same_options(before, desired), parsed));
    if (changed) {
        const auto saved = save_or_forget(instance, desired);
        // Time cannot be noted as passed, on a full disk for instance; what is on disk is healed all the same.
        if (!saved && asked == Asked::Nothing && before.enabled)
            return heal_saved(instance, parsed, retries, saved.error());
        KUDO_TRY(saved);
    }
    if (!plan) return ReconcileReport{};
    auto report = apply_plan(instance, before, desired, *plan, asked, retries);
    if (!report) {
        if (!changed) return report;
        spdlog::debug("going back: {}", report.error().message);
        if (auto back = go_back(instance, before, desired); !back) spdlog::debug("{}", back.error().message);
        return report;
    }
    note_published(instance, desired);
    if (!plan->reduced) return report;
    // The generation that is gone may have had the slots that were missing.
    const auto now_that_fits = make_plan(instance, desired, Asked::Nothing, true, parsed);
    if (!now_that_fits) return report;
    auto whole = apply_plan(instance, desired, desired, *now_that_fits, Asked::Nothing, retries);
    if (whole) whole->changed |= report->changed;
    return whole;
}

} // namespace

Result<ReconcileReport> change_and_reconcile(const Instance& instance,
                                             const std::function<Result<void>(DesiredState&)>& change, Asked asked,
                                             std::chrono::milliseconds timeout, ParsedMaps* parsed, Retries* retries) {
    KUDO_TRY(check_capabilities());
    KUDO_TRY(check_layout_is_ours(instance));
    KUDO_TRY(check_no_newer_layout(instance));
    std::error_code ignored;
    const bool is_new = !std::filesystem::exists(instance.state_dir, ignored);
    const Fd lock = KUDO_TRY(lock_folder(instance.state_dir, timeout));
    auto report = change_locked(instance, change, asked, parsed, retries);
    if (!report && is_new) rmdir(instance.state_dir.c_str()); // if nothing is in it
    give_to_owner(instance);
    // Documents that no state names: of this change if it failed, of older ones if not.
    if (const auto state = load_desired_state(instance)) prune_range_maps(instance, *state);
    return report;
}

Result<void> change_state(const Instance& instance, const std::function<Result<void>(DesiredState&)>& change,
                          std::chrono::milliseconds timeout) {
    const Fd lock = KUDO_TRY(lock_folder(instance.state_dir, timeout));
    const DesiredState before = KUDO_TRY(load_desired_state(instance));
    DesiredState desired = before;
    KUDO_TRY(change(desired));
    auto saved = is_same(before, desired) ? Result<void>{} : save_or_forget(instance, desired);
    give_to_owner(instance);
    return saved;
}

} // namespace kudo
