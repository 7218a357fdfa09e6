// SPDX-License-Identifier: MIT
// What the admin wants: one JSON file in the state directory, and the range maps that were applied beside it.
// Included by reconcile and the commands. Invariant: the file is replaced by rename after fsync, so a reader, and a
// crash, sees the old one or the new one; a range map's file is complete before a desired state names it.
#pragma once

#include <string>
#include <vector>

#include "agent/instance.h"
#include "agent/queue_wish.h"
#include "bpf/abi.h"
#include "maps/compile.h"
#include "maps/range_map.h"

namespace kudo {

// Which kind of tc hook to use.
enum class TcHook { Auto, Tcx, Clsact };

inline constexpr uint32_t default_max_flows = 131072;

struct DesiredState {
    bool enabled = false;
    std::vector<std::string> regions; // sorted, distinct
    bool teams = false;
    kudo_mode mode = KUDO_PRIORITISE;
    std::vector<std::string> interfaces;    // empty: those with a default route, whichever they are at each reconcile
    uint32_t max_flows = default_max_flows; // entries of the IPv4 flow table
    bool xdp_generic = false;               // fall back to generic XDP before tc
    TcHook tc_hook = TcHook::Auto;
    Marks marks = default_marks();
    uint32_t firewall_mark = 0, firewall_mark_mask = 0;
    QueueWish queues;
    std::string range_map;        // content hash of the applied map; empty: the built-in one
    std::string range_map_source; // where it came from, for people: "built-in", "/root/new.json"

    [[nodiscard]] CompileOptions compile_options() const;
    // Do incoming packets need a tc program, beside the XDP program that counts them?
    [[nodiscard]] bool marks_ingress() const {
        return firewall_mark_mask != 0 || queues.downlink.kind == LineWish::Kind::Rate;
    }
};

std::string_view mode_name(kudo_mode mode); // "observe", "prioritise", "enforce"

// No file: a default DesiredState (not enabled). A broken file is an error that names it.
Result<DesiredState> load_desired_state(const Instance& instance);
Result<void> save_desired_state(const Instance& instance, const DesiredState& state);
// Deletes the file: as if the agent had never been here.
Result<void> forget_desired_state(const Instance& instance);

// The range map that the state names, and its document's bytes.
struct StoredRangeMap {
    RangeMap map;
    std::string json;
    std::string source; // "built-in" or where it came from
};
Result<StoredRangeMap> load_range_map(const Instance& instance, const DesiredState& state);
// Stores a map's canonical document under its content hash and returns the hash. Call before saving a state with it.
Result<std::string> store_range_map(const Instance& instance, const RangeMap& map);
// Deletes stored maps that the state does not name.
Result<void> prune_range_maps(const Instance& instance, const DesiredState& state);

} // namespace kudo
