// SPDX-License-Identifier: MIT
// What was at an interface's root before our qdisc, so that it can be restored: in a pinned map, which lives exactly
// as long as the data path and ends with the kernel that the qdiscs live in.
// Invariant: written before anything is replaced; a crash leaves the old content or the new one.
#pragma once

#include <filesystem>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "agent/netlink/tc_object.h"

namespace kudo {

// What is at an interface's root without us.
struct FoundQueue {
    std::string root = "none"; // the root's kind
    std::string kind =
        "none"; // the kind that packets queue in: of a multi-queue device, below each of its transmit queues
    uint32_t transmit_queues = 0; // that have a queue each; 0: the root is the only one
    bool made_by_admin = false;
    bool honours_marks = false;             // looks at skb->priority or the DSCP already
    std::string caveat{};                   // what its options do to marks all the same; may be empty
    [[nodiscard]] std::string text() const; // "mq with fq_codel (the kernel's default)"
};

struct SavedQdisc {
    std::string plan;  // what was asked for, as text: see plan.h
    std::string built; // fingerprint() of what was built; empty: not finished
    FoundQueue found;
    // What was there, parents before children; empty: the kernel's default.
    std::vector<TcObject> saved;
    bool restoring = false; // restoring it has begun
};

// `folder`: the data path's. `name`: an ifindex, or "3_ifb" for the device of interface 3's downlink.
// Nothing: we have not replaced that root.
Result<std::optional<SavedQdisc>> load_saved_qdisc(const std::filesystem::path& folder, const std::string& name);
Result<void> store_saved_qdisc(const std::filesystem::path& folder, const std::string& name, const SavedQdisc& saved);
Result<void> forget_saved_qdisc(const std::filesystem::path& folder, const std::string& name);
// The interfaces that have one, or a downlink's, whether they still exist or not.
std::set<uint32_t> saved_qdisc_interfaces(const std::filesystem::path& folder);

// Of an interface's qdiscs and classes, and of filters in them: equal as long as none is changed, added or removed.
std::string fingerprint(const std::vector<TcObject>& objects, const std::vector<PlacedFilter>& filters = {});

// This tree as it can be restored, parents before children. BadInput names what cannot be: an unknown kind, or filters.
Result<std::vector<TcObject>> restorable(uint32_t interface, const std::vector<TcObject>& objects);

} // namespace kudo
