// SPDX-License-Identifier: MIT
// Makes the kernel equal to the desired state, idempotently, under one lock. enable, disable, range maps that are
// accepted and the service's timer change the desired state and come here.
// Invariant: at every moment, also when killed, packets are judged by a complete generation or by none of our programs.
#pragma once

#include <chrono>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "agent/queues/queues.h"
#include "agent/state/desired_state.h"
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
    bool changed = false;    // anything at all
    uint32_t generation = 0; // the active one
    std::vector<InterfaceReport> interfaces;
    std::vector<std::string> warnings; // whole sentences for people
};

inline constexpr std::chrono::seconds lock_timeout{10};

// Named interfaces that are absent: BadInput, or only a warning.
enum class Interfaces { MustExist, MayBeMissing };

// Takes the lock (waits `timeout` for another command, then an Error that names its process), checks capabilities,
// loads the desired state, lets `change` edit it, checks that the result can be had (regions, interfaces, map: nothing
// is changed on any BadInput), saves it, reconciles. `change` may return an error: nothing happens then. A state that
// is not enabled is only saved; report.generation is 0 then. Where the kernel refuses, the state goes back to what it
// was, but for the highest serial.
Result<ReconcileReport> change_and_reconcile(const Instance& instance,
                                             const std::function<Result<void>(DesiredState&)>& change,
                                             Interfaces interfaces = Interfaces::MustExist,
                                             std::chrono::milliseconds timeout = lock_timeout);

// Detaches and removes everything of this instance and puts back what it changed. True if there was anything.
Result<bool> disable(const Instance& instance);

} // namespace kudo
