// SPDX-License-Identifier: MIT
// An interface's queues: makes sure that the one at the bottleneck serves packets by their marks, tells the programs
// how to mark for it, and restores what was there. Invariant: before a qdisc is replaced, it is saved; one that the
// administrator has configured is replaced only on request and if it can be restored.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "agent/datapath/datapath.h"
#include "agent/netlink/interfaces.h"
#include "agent/queues/root.h"
#include "agent/queues/spec.h"
#include "agent/queues/tree.h"

namespace kudo {

struct InterfaceQueues {
    QueueReport uplink, downlink;
    bool wifi = false; // is_wireless()
};

// BadInput, before anything is changed, if the spec is not possible on this interface.
Result<void> check_queues(const Instance& instance, const Interface& interface, const QueueSpec& spec);

// Queues that are to be left alone, and what was wrong with them.
struct QueuesLeftAlone {
    std::optional<Error> uplink, downlink;
};
// Makes it so, one direction after the other: what is wrong with one is its report's problem, and the other's is made
// nevertheless. Needs the tc ingress program to mark for the downlink's queue: see attachment.h. An Error: neither
// could be looked at, or the programs could not be told.
Result<InterfaceQueues> ensure_queues(DataPath& data_path, const Interface& interface, const QueueSpec& spec,
                                      const QueuesLeftAlone& left_alone = {});

// What is there now, against the spec, and what keeps it from being that. Read-only.
Result<InterfaceQueues> read_queues(const DataPath& data_path, const Interface& interface, const QueueSpec& spec);

// Do the programs mark for the queues that were read?
Result<bool> programs_know_queues(const DataPath& data_path, const Interface& interface, const QueueSpec& spec,
                                  const InterfaceQueues& queues);

// Restores what was there. `folder`: the data path's. True if there was anything.
Result<bool> remove_queues(const std::filesystem::path& folder, uint32_t interface);
// Where the pins were deleted by hand, and with them what was saved: removes our qdiscs, and the kernel's defaults come
// back. What another instance has there stays; NotPermitted: the root is kudo-agent's, and whose may not be read. True
// if there was anything.
Result<bool> remove_orphaned_queues(uint32_t interface, uint64_t instance);

// What each part of the interface's queues has carried and lost.
struct QueueNumbers {
    std::string interface, direction; // "egress", "ingress"
    std::string kind;                 // of the root qdisc
    std::vector<QueueClass> classes;
};
// `ingress` only where we have made one.
Result<std::vector<QueueNumbers>> read_queue_numbers(const Interface& interface);

} // namespace kudo
