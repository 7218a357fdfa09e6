// SPDX-License-Identifier: MIT
// What the admin wants, and which range maps are accepted: one JSON file in the state directory.
// Invariant: the file is replaced by rename after fsync, so a reader, and a crash, sees the old one or the new one.
#pragma once

#include <string>
#include <vector>

#include "agent/attach/options.h"
#include "agent/queues/spec.h"
#include "agent/state/range_ledger.h"
#include "agent/system/instance.h"
#include "bpf/abi.h"
#include "maps/compile/compile.h"
#include "maps/document/range_map.h"

namespace kudo {

inline constexpr uint32_t default_max_flows = 131072;

struct DesiredState {
    bool enabled = false;
    std::string disabling; // the boot (boot_id) in which a disable could not remove everything; empty: none
    std::vector<std::string> regions; // sorted, distinct
    bool teams = false;
    kudo_mode mode = KUDO_PRIORITISE;
    std::vector<std::string> interfaces;    // empty: those that lead to KUDO, whichever they are at each reconcile
    uint32_t max_flows = default_max_flows; // entries of the IPv4 flow table
    IngressHook ingress = IngressHook::Auto;
    bool xdp_generic = false; // fall back to generic XDP before tc
    TcHook tc_hook = TcHook::Auto;
    Marks marks = default_marks();
    uint32_t firewall_mark = 0, firewall_mark_mask = 0;
    std::vector<Prefix> nat64; // besides 64:ff9b::/96
    QueueSpec queues;
    RangeLedger ranges;

    [[nodiscard]] CompileOptions compile_options() const;
    [[nodiscard]] AttachOptions attach_options() const {
        return {.tc_hook = tc_hook, .xdp = uses_xdp(), .xdp_generic = xdp_generic, .marks_ingress = marks_ingress()};
    }
    [[nodiscard]] bool uses_xdp() const { return kudo::uses_xdp(ingress, mode, xdp_generic); }
    // Do incoming packets need a tc program, beside the XDP program that counts them?
    [[nodiscard]] bool marks_ingress() const {
        return firewall_mark_mask != 0 || queues.downlink.kind == ShaperSpec::Kind::Rate;
    }
};

// A default one, not enabled, but for what must outlive a lost or damaged file: the highest serials and the key set.
DesiredState fresh_state(const Instance& instance);
// No file: a fresh state. A broken file is an error that names it.
Result<DesiredState> load_desired_state(const Instance& instance);
// Would they be saved as the same bytes?
bool is_same(const DesiredState& a, const DesiredState& b);
Result<void> save_desired_state(const Instance& instance, const DesiredState& state);
// Where a state that is not enabled cannot be saved, for want of room: makes the one that is there mean that.
Result<void> mark_not_enabled(const Instance& instance);
// Deletes the file: as if the agent had never been here.
Result<void> forget_desired_state(const Instance& instance);

} // namespace kudo
