// SPDX-License-Identifier: MIT
#include "agent/reconcile/disable.h"

#include <utility>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <spdlog/spdlog.h>

#include "agent/datapath/pin_folder.h"
#include "agent/firewall_sets/sets.h"
#include "agent/reconcile/reconcile.h"
#include "agent/reconcile/teardown.h"
#include "agent/state/last_interfaces.h"
#include "agent/system/capabilities.h"
#include "agent/system/lock.h"
#include "agent/system/uptime.h"

namespace kudo {
namespace {

// So that a service that runs does not attach again. A rename needs no room on the disk.
Result<void> save_not_enabled(const Instance& instance, const DesiredState& state, bool readable) {
    auto saved = save_desired_state(instance, state);
    if (!saved && readable && mark_not_enabled(instance)) return {};
    return saved;
}

} // namespace

Result<Disabled> disable(const Instance& instance) {
    KUDO_TRY(check_capabilities());
    KUDO_TRY(check_layout_is_ours(instance));
    const Fd lock = KUDO_TRY(lock_folder(instance.state_dir, lock_timeout));
    auto state = load_desired_state(instance);
    // Neither a state that cannot be read nor one that cannot be written keeps anybody from switching us off.
    DesiredState desired = state ? *state : fresh_state(instance);
    const std::string boot = read_uptime().boot;
    const bool was_enabled = desired.enabled || !state;
    // A disable before this one had to leave something, and the kernel has not been booted since.
    const bool unfinished = was_enabled || (!boot.empty() && desired.disabling == boot);
    const bool pins_are_lost = unfinished && !has_pins(instance);
    // What the state says, or may have said.
    const bool may_have_sets = desired.firewall != FirewallSync::Off || !state || (!was_enabled && has_pins(instance));
    Result<void> saved;
    if (unfinished || has_pins(instance)) {
        desired.enabled = false;
        desired.lost_marks.clear(); // the next network is another one
        // Nobody asks for them any more.
        std::erase_if(desired.ranges.alarms, [](const Alarm& alarm) { return alarm.source == "names"; });
        desired.disabling = boot;
        saved = save_not_enabled(instance, desired, state.has_value());
    }
    Removed removed = teardown(instance);
    Removed orphans = remove_orphans(instance);
    removed.left.insert(removed.left.end(), orphans.left.begin(), orphans.left.end());
    auto sets = may_have_sets ? remove_firewall_sets() : RemovedFirewallSets{};
    if (!sets && desired.firewall != FirewallSync::Off) removed.left.push_back(sets.error().message);
    const bool removed_sets = sets && sets->any;
    Disabled result{.changed = was_enabled || removed.any || orphans.any || removed_sets,
                    .unknown = std::move(orphans.unknown),
                    .kept = sets ? std::move(sets->kept) : std::vector<std::string>{}};
    // Links end with their pins, so what is still attached is ours only if something else holds it.
    if (pins_are_lost)
        for (std::string& program : result.unknown)
            removed.left.push_back(program +
                                   ", perhaps kudo-agent's: its name takes CAP_SYS_ADMIN to read, run as root");
    if (!removed.left.empty()) return fail(fmt::format("removed all but: {}", fmt::join(removed.left, "; ")));
    if (!saved) return fail(std::move(saved.error()).in("everything is detached, but the state still says enabled"));
    remove_unlocked_file(instance.service_lock());
    std::error_code error;
    std::filesystem::remove_all(instance.snapshots(), error);
    std::filesystem::remove_all(instance.flow_ledgers(), error);
    std::filesystem::remove(instance.line_rates(), error);
    forget_last_interfaces(instance);
    prune_range_maps(instance, desired);
    const bool was_synced = std::exchange(desired.firewall, FirewallSync::Off) != FirewallSync::Off;
    if (desired.ranges.empty()) {
        KUDO_TRY(forget_desired_state(instance));
    } else if (!std::exchange(desired.disabling, "").empty() || was_synced) {
        if (auto done = save_desired_state(instance, desired); !done) spdlog::debug("{}", done.error().message);
    }
    return result;
}

} // namespace kudo
