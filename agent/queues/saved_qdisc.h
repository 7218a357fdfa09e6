// SPDX-License-Identifier: MIT
// What stood at an interface's root before our queue, so that it can be put back: in a pinned map, which lives exactly
// as long as the data path and ends with the kernel that the qdiscs live in.
// Invariant: written before anything is replaced; a crash leaves the old memory or the new one.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "agent/netlink/tc_object.h"

namespace kudo {

// What stands at an interface's root without us.
struct FoundQueue {
    std::string root = "none";    // the root's kind
    std::string kind = "none";    // what packets wait in: of a multi-queue device, below each of its transmit queues
    uint32_t transmit_queues = 0; // that have a queue each; 0: the root is the only one
    bool made_by_admin = false;
    bool honours_marks = false;             // looks at skb->priority already
    [[nodiscard]] std::string text() const; // "mq with fq_codel (the kernel's default)"
};

struct SavedQdisc {
    std::string plan;  // what we were asked to make, as text: see queues.cpp
    std::string built; // fingerprint() of what we made; empty: not finished
    FoundQueue found;
    // What stood there, parents before children; empty: the kernel's default.
    std::vector<TcObject> saved;
    bool restoring = false; // putting it back has begun
};

// `folder`: the data path's. `name`: of the root: an ifindex, "3_ifb" for the device of interface 3's downlink.
// Nothing: we have not replaced that root.
Result<std::optional<SavedQdisc>> load_queue_memory(const std::filesystem::path& folder, const std::string& name);
Result<void> save_queue_memory(const std::filesystem::path& folder, const std::string& name, const SavedQdisc& memory);
Result<void> forget_queue_memory(const std::filesystem::path& folder, const std::string& name);
// The interfaces that have one, or a downlink's queue, whether they still exist or not.
std::vector<uint32_t> remembered_queues(const std::filesystem::path& folder);

// Of the interface's qdiscs and classes as they stand: equal while nobody has changed, added or removed one.
std::string fingerprint(const std::vector<TcObject>& qdiscs, const std::vector<TcObject>& classes);

// What can be put back of this tree, parents before children. BadInput names what cannot: a kind that we do not know
// well enough, or filters.
Result<std::vector<TcObject>> savable(uint32_t interface, const std::vector<TcObject>& qdiscs,
                                      const std::vector<TcObject>& classes);

} // namespace kudo
