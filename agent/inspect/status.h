// SPDX-License-Identifier: MIT
// Desired against actual: the facts behind `status`.
// Invariant: what it says of the kernel was read from the kernel, not from our files. It changes nothing but the
// questions that it asks our programs (runs.h).
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "agent/inspect/drift.h"
#include "agent/netlink/routes.h"
#include "agent/queues/queues.h"
#include "agent/reconcile/reconcile.h"
#include "agent/state/desired_state.h"
#include "agent/system/instance.h"
#include "maps/document/diff.h"

namespace kudo {

// One between desired and actual.
struct Difference {
    std::string text;             // a whole sentence
    std::string object = {};      // as a reconcile's Problem names it: "eth0 egress"; empty: none that it would report
    bool enable_corrects = false; // the same `enable` would; else another's qdisc or program, a route or the options
                                  // are in the way
};

std::vector<std::string> texts_of(const std::vector<Difference>& differences);

struct InterfaceStatus {
    std::string name;
    uint32_t index = 0; // 0: no such interface
    uint32_t mtu = 0;
    std::string ingress; // "xdp-native", "xdp-generic", "tcx", "tc"; empty: not attached
    std::string egress;  // "tcx", "tc"; empty: not attached
    bool healthy = false;
    std::vector<Difference> problems; // why not healthy
    std::string
        note; // what is as it may be and yet worth to know: a foreign XDP program, before all of tc; may be empty
    InterfaceQueues queues{};
};

struct Status {
    DesiredState desired;
    HostMoment read_at;
    ModeInEffect effect; // of the desired state, then
    // Where mode enforce is desired or rehearsed: as this host needs them now, and as the kernel has them.
    std::vector<Lifeline> lifelines;
    // Read back from the kernel:
    uint32_t generation = 0;       // 0: no data path
    kudo_mode mode = KUDO_OBSERVE; // as the programs judge now: past its deadline enforce is prioritise
    kudo_admission admission = KUDO_ADMISSION_NONE; // the same
    uint64_t serial = 0;
    uint32_t prefixes4 = 0, prefixes6 = 0;
    uint32_t nat64 = 0;          // IPv6 prefixes that stand for IPv4 ones; not in prefixes6
    std::string content_hash;    // recomputed from the kernel's tables, hex
    bool policy_matches = false; // the kernel's tables are what the desired state compiles to
    std::string map_source;
    std::optional<Time> effective;        // nothing if the desired map cannot be read
    std::optional<MapDiff> staged_change; // what the next staged map will change
    // Of each retiring map of the desired state, how many ranges and domains are honoured for it alone: none where a
    // newer map has only added. Nothing: a document cannot be read.
    std::optional<std::vector<HonouredMaps::Retiring>> what_retires;
    // What needs attention although packets are judged as desired: refused documents, an expired map.
    std::vector<std::string> alarms;
    std::vector<Prefix> routed;       // the addresses to which a change of routes matters
    std::vector<ServiceRoute> routes; // by which interfaces the kernel sends to each service now
    std::vector<InterfaceStatus> interfaces;
    // In mode enforce: interfaces that are up and by which everything passes, since none of them leads to KUDO.
    std::vector<std::string> not_enforced;
    std::vector<Difference> drift; // empty: healthy
    Drift stale; // what says that the map may be stale: no difference between desired and actual, so not in `drift`
    // Programs on the watched interfaces of which this process, without CAP_SYS_ADMIN, may not know whose they are.
    std::vector<std::string> unknown;
    // With `firewall sync`: rules that refer to the nftables sets, in any order; each once.
    std::vector<std::string> firewall_rules;
    bool leftovers = false; // not enabled, but parts of the data path are in the kernel
};

// Enabled, and nothing differs from what is desired.
bool is_healthy(const Status& status);

// The drift that this report of a reconcile just before has not told: an object that it names is told, in whatever
// words.
std::vector<Difference> untold_drift(const Status& status, const ReconcileReport& report);

// Errors: NotPermitted; a broken state file; another layout version's pins.
Result<Status> read_status(const Instance& instance);

} // namespace kudo
