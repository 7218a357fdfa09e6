// SPDX-License-Identifier: MIT
// The root qdisc of one device: what stands there, putting ours there, putting back what stood there before.
// Invariant: what is to be put back is remembered before anything is replaced; killed at any point, the next
// ensure_root() or restore_root() ends where it would have.
#pragma once

#include <array>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "agent/netlink/tc_object.h"
#include "agent/queues/plan.h"
#include "agent/queues/saved_qdisc.h"
#include "agent/queues/tree.h"

namespace kudo {

// A root that we may replace: an interface's, or that of the device that its downlink goes through.
struct Place {
    uint32_t index; // the device's
    std::string name;
    std::string memory; // see queue_memory.h
};

// Everything that stands on one device.
struct QdiscTree {
    std::vector<TcObject> qdiscs, classes;

    [[nodiscard]] const TcObject* root() const; // null: none
    [[nodiscard]] FoundQueue found() const;     // as somebody else's
    [[nodiscard]] std::string print() const { return fingerprint(qdiscs, classes); }
};
Result<QdiscTree> read_qdisc_tree(uint32_t device);

// What stands there, and what we know of what stood there before.
struct Root {
    QdiscTree standing;
    std::optional<SavedQdisc> memory;

    // Ours stands there. Our handle alone does not make it so: another instance has the same.
    [[nodiscard]] bool is_ours() const;
    // What stands there is what a killed command has left between ours and what stood there before.
    [[nodiscard]] bool was_interrupted() const;
    [[nodiscard]] FoundQueue found() const; // without us
    // Ours stands there as it was made for this plan; null: it does not.
    [[nodiscard]] const QueueTree* made_for(const QueuePlan& plan) const;
};
// `folder`: the data path's.
Result<Root> read_root(const std::filesystem::path& folder, const Place& place);

// BadInput if the root must not be replaced, or could not be put back. `replace`: an admin's may be.
Result<void> check_replaceable(const Root& root, const Place& place, bool replace);

// One direction's queue on one interface, for people and programs.
struct QueueReport {
    std::string found;  // what stood there before us: "fq_codel (the kernel's default)"
    std::string chosen; // what stands there now: "htb"; empty: none
    std::string why;    // a sentence
    bool changed = false;
    bool healthy = true; // it is what was asked for
};
using Priorities = std::array<uint32_t, KUDO_TREATMENTS>; // skb->priority by kudo_treatment

struct EnsuredRoot {
    QueueReport report;
    Priorities priorities{}; // for the programs
};
// Makes the root what the plan says.
Result<EnsuredRoot> ensure_root(const std::filesystem::path& folder, const Place& place, const QueuePlan& plan,
                                bool replace);
// Puts back what stood there and forgets it. True if there was anything.
Result<bool> restore_root(const std::filesystem::path& folder, const Place& place);

} // namespace kudo
