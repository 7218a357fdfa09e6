// SPDX-License-Identifier: MIT
// Makes the kernel equal to the desired state, object by object, idempotently, under one lock. enable, disable, range
// maps that are admitted and the service's timer all change the desired state and come here; nothing else writes
// either.
//
// The objects: the policy; on each interface its two hooks, its uplink's and its downlink's queue; each interface that
// is no longer wanted; the nftables sets of `firewall sync`; the tracing of host drops. Each stands alone: what fails
// is a Problem of the report, named and tried again later, and stops nothing else. Only what the caller itself asked
// for is refused as wrong input, before anything is changed.
//
// A change goes through these states, in this order:
//
//   unlocked    capabilities and the layout's owner are checked, the lock is taken
//   planned     the state is loaded, `change` edits a copy of it; documents that it stores are named by no state yet.
//               The copy is compiled with the service slots of the data path that is there, its interfaces are looked
//               up. What the caller asked for and cannot be is found up to here, as BadInput: see Asked
//   saved       the copy has replaced the state on disk: first the rollback protection, then the state, each by rename
//               after fsync. Where that fails and nobody asked for the change (Asked::Nothing), the state on disk is
//               gone on with, and the failure is a problem of the report
//   widened     what the policy adds is in the nftables sets, if these are kept: before a packet is judged by it
//   published   the policy is active: in a new data path, or as the next generation of the one that is there
//               (agent/datapath/generation.h). If pins were deleted by hand, what had outlived them is removed first
//   attached    on each interface first our programs, then its queues, so that packets are marked before they are sent
//               through one
//   released    interfaces that are no longer wanted: first their own queues are put back, then programs are detached
//   narrowed    the nftables sets are what the active policy has: what it withdrew goes last
//   traced      the program that counts what the host drops is attached
//   pruned      documents that no state names are deleted
//
// A policy that was asked for and cannot be published takes the change back: the state before is saved again, with the
// highest serial that the failed change had brought (no serial is ever accepted twice with other content); the kernel
// still has the generation before. All that comes later stays as far as it came, and the next reconcile (the service's
// timer) goes on.
//
// Where not all that is early or retiring had a slot, published to released are gone through once more, with the slots
// that the generation before has freed; what that goes back to is the new state.
//
// Trust (key sets, alarms) is changed by change_state(), which touches no data path and needs none.
//
// Killed at any point, even on the way back:
//   before saved         the previous state and kernel; at most a document that the next change prunes
//   saved to released    the state that was saved last, with the kernel anywhere between: `status` reports drift, the
//                        next reconcile completes it. The lock ends with its process
//
// Invariants; the tests name them:
//   R1  State, stored documents and kernel objects are changed only by the holder of the instance's lock, one process
//       at a time.
//   R2  What is refused changes nothing: every BadInput is found before the state is saved.
//   R3  A document is on disk before a state names it, a state is on disk before the kernel follows it. So whatever a
//       kill leaves, the next reconcile or disable completes.
//   R4  At every moment packets are judged by one complete generation, or by none of our programs.
//   R5  After a policy that could not be published the state is the previous one but for the highest serial, which
//       never goes down.
//   R6  disable works although the state cannot be read, from the pins, and although the pins are gone, from the
//       kernel. It puts back what enable replaced.
//   R7  No object's trouble keeps another object from being as desired.
//
// Who may call: any process with the capabilities. `change` runs under the lock, once: it must not call anything of
// this header, which would wait for that lock.
#pragma once

#include <chrono>
#include <functional>
#include <string>
#include <vector>

#include "agent/queues/queues.h"
#include "agent/reconcile/retries.h"
#include "agent/state/desired_state.h"
#include "agent/state/range_store.h"
#include "agent/system/instance.h"
#include "maps/base/result.h"

namespace kudo {

// What a reconcile did, for the person who asked.
struct InterfaceReport {
    std::string name;
    std::string ingress; // "xdp-native", "xdp-generic", "tcx", "tc"
    std::string egress;  // "tcx", "tc"
    std::string note;    // why not the better hook; may be empty
    InterfaceQueues queues;
};
struct ReconcileReport {
    bool changed = false;                     // anything at all
    uint32_t generation = 0;                  // the active one; 0: nothing was reconciled
    uint64_t serial = 0;                      // of the map that it was compiled from, not always the desired one:
    std::string source;                       // its document may be lost
    std::size_t prefixes4 = 0, prefixes6 = 0; // of its policy
    std::size_t nat64 = 0;                    // IPv6 prefixes that stand for IPv4 ones; not in prefixes6
    std::vector<InterfaceReport> interfaces;
    std::vector<std::string> warnings; // whole sentences for people
    std::vector<Problem> problems;     // objects that are not as desired
};

inline constexpr std::chrono::seconds lock_timeout{10};

// What the caller asks for: where that is impossible, the change is refused. What is impossible beyond it is a problem.
enum class Asked {
    Everything, // the policy, each interface by its name and its queues: `enable`
    Policy,     // a range map
    Delivery,   // a range map that has come by itself: if it changes nothing, the kernel is not looked at
    Nothing,    // what time brings, and healing
};

// Edits the desired state by `change` and makes the kernel equal to it, as above. An error of `change` ends it: nothing
// has happened then. A state that is not enabled is only saved; report.generation is 0 then. `timeout`: how long to
// wait for another command; the Error then names its process. Stored maps in `parsed` are not read again, and `change`
// may add to them. `retries`: which objects are to be left alone for now; null: all are tried.
Result<ReconcileReport> change_and_reconcile(const Instance& instance,
                                             const std::function<Result<void>(DesiredState&)>& change,
                                             Asked asked = Asked::Everything,
                                             std::chrono::milliseconds timeout = lock_timeout,
                                             ParsedMaps* parsed = nullptr, Retries* retries = nullptr);

// Edits the desired state alone: nothing that packets are judged by.
Result<void> change_state(const Instance& instance, const std::function<Result<void>(DesiredState&)>& change,
                          std::chrono::milliseconds timeout = lock_timeout);

} // namespace kudo
