// SPDX-License-Identifier: MIT
// What the admin wants, and which range maps are accepted: one JSON file in the state directory.
// Invariant: the file is replaced by rename after fsync, so a reader, and a crash, sees the old one or the new one.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "agent/attach/options.h"
#include "agent/lifelines/lifelines.h"
#include "agent/queues/spec.h"
#include "agent/state/enforcement.h"
#include "agent/state/lost_marks.h"
#include "agent/state/range_ledger.h"
#include "agent/system/instance.h"
#include "bpf/abi.h"
#include "maps/compile/compile.h"
#include "maps/document/range_map.h"

namespace kudo {

inline constexpr uint32_t default_max_flows = 131072;

// Are the nftables sets kept equal to the policy? Removing: they were, and may still be there.
enum class FirewallSync { Off, On, Removing };

struct DesiredState {
    bool enabled = false;
    std::string disabling;            // the boot (boot_id) in which a disable could not remove everything; empty: none
    std::vector<std::string> regions; // sorted, distinct
    bool teams = false;
    kudo_mode mode = KUDO_PRIORITISE;
    std::vector<std::string> interfaces;    // empty: those that lead to KUDO, whichever they are at each reconcile
    uint32_t max_flows = default_max_flows; // entries of the IPv4 flow table
    IngressHook ingress = IngressHook::Auto;
    bool xdp_generic = false; // fall back to generic XDP before tc
    TcHook tc_hook = TcHook::Auto;
    Marks marks = default_marks();
    bool mark_fallback = false;       // the service looks for marks that the network loses, and
    std::vector<LostMark> lost_marks; // these have been found lost: their classes have none meanwhile
    uint32_t firewall_mark = 0, firewall_mark_mask = 0;
    std::vector<Prefix> nat64;  // besides 64:ff9b::/96
    bool exact_domains = false; // CompileOptions::exact_domains
    QueueSpec queues;
    std::vector<std::string> allow;                    // the administrator's rules as they were written, in their order
    std::vector<LifelineSetting> lifelines;            // those that are off or restricted
    Enforcement enforcement;                           // of mode enforce
    std::optional<Rehearsal> rehearsal;                // of other modes; also after its end
    std::optional<std::vector<MapSource>> map_sources; // as the service has told them; nothing: it has not yet
    std::vector<Address> resolvers;                    // as they were last read; for when they cannot be
    FirewallSync firewall = FirewallSync::Off;
    RangeLedger ranges;

    // What is in effect now: see mode_in_effect().
    [[nodiscard]] ModeInEffect in_effect(const HostMoment& now = HostMoment::now()) const {
        return mode_in_effect(mode, enforcement, rehearsal, now);
    }
    // Those of `marks` that are set.
    [[nodiscard]] Marks marks_in_effect() const { return without_lost(marks, lost_marks); }
    // With the mode in effect, and without admission.
    [[nodiscard]] CompileOptions compile_options() const;
    // With admission, if packets are put to its rules now: the administrator's, then the lifelines.
    [[nodiscard]] Result<CompileOptions> compile_options(const LifelineFacts& facts) const;
    // Are there lifelines: is mode enforce desired or rehearsed?
    [[nodiscard]] bool has_lifelines() const { return enabled && (mode == KUDO_ENFORCE || rehearsal); }
    // What of the host the lifelines are made from now, or were made from before where it cannot be read.
    [[nodiscard]] LifelineFacts lifeline_facts() const;
    [[nodiscard]] AttachOptions attach_options() const {
        return {.tc_hook = tc_hook,
                .xdp = uses_xdp(),
                .xdp_generic = xdp_generic,
                .marks_ingress = marks_ingress(),
                .drops = in_effect().admission == KUDO_ADMISSION_ENFORCE};
    }
    [[nodiscard]] bool uses_xdp() const { return kudo::uses_xdp(ingress, in_effect().mode, xdp_generic); }
    // Do incoming packets need a tc program, beside the XDP program that counts them?
    [[nodiscard]] bool marks_ingress() const {
        return firewall_mark_mask != 0 || queues.downlink.has_rate();
    }
};

// A default one, not enabled, but for what must outlive a lost or damaged file: the highest serials and the key set.
DesiredState fresh_state(const Instance& instance);
// No file: a fresh state. A broken file is an error that names it.
Result<DesiredState> load_desired_state(const Instance& instance);
// Does mode enforce let the same through by both, on the same interfaces? But for the range map, whose changes are
// accepted by themselves.
bool enforce_the_same(const DesiredState& a, const DesiredState& b);
// Would they be saved as the same bytes?
bool is_same(const DesiredState& a, const DesiredState& b);

// An option of `enable` whose values differ, each as JSON: {"regions", "[\"ca\"]", "[\"ca\",\"us\"]"}.
struct OptionChange {
    std::string name, from, to;
};
std::vector<OptionChange> option_changes(const DesiredState& from, const DesiredState& to);
Result<void> save_desired_state(const Instance& instance, const DesiredState& state);
// Where a state that is not enabled cannot be saved, for want of room: makes the one that is there mean that.
Result<void> mark_not_enabled(const Instance& instance);
// Deletes the file: as if the agent had never been here.
Result<void> forget_desired_state(const Instance& instance);

} // namespace kudo
