// SPDX-License-Identifier: MIT
// The root qdisc of one device: reading it, building ours, restoring what was there before.
// Invariant: what is to be restored is saved before anything is replaced; killed at any point, the next ensure_root()
// or restore_root() ends where it would have.
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

// A root that we may replace: an interface's, or its downlink device's.
struct QdiscSlot {
    std::filesystem::path folder; // the data path's
    uint32_t index;               // the device's
    std::string name;
    std::string saved_as; // see saved_qdisc.h
    uint64_t instance;    // instance_id()
    bool wifi = false;    // is_wireless()
};

// All qdiscs and classes of one device.
struct QdiscTree {
    std::vector<TcObject> objects;
    std::vector<PlacedFilter> filters{}; // of kudo-agent's, in its qdiscs

    [[nodiscard]] const TcObject* root() const; // null: none
    [[nodiscard]] FoundQueue found() const;     // as if not ours
};
Result<QdiscTree> read_qdisc_tree(uint32_t device);

// One direction's queue on one interface.
struct QueueReport {
    std::string found;  // what was there before us: "fq_codel (the kernel's default)"
    std::string chosen; // what is there now: "htb"; empty: none
    std::string why;    // a sentence
    bool ours = false;  // `chosen` is kudo-agent's, in place of `found`
    bool changed = false;
    bool healthy = true;                                // it is what was asked for
    std::optional<Error> problem{};                     // why not, where that is known
    std::optional<uint64_t> rate{};                     // bit/s, as the kernel has it; nothing: without a rate
    std::optional<RateBounds> follows{};                // what was asked for: the rate follows the line within these
    std::string following{};                            // LineState::name, where `status` has asked for it
    std::array<uint32_t, KUDO_TREATMENTS> priorities{}; // skb->priority by kudo_treatment, for the programs
};

// What is there, and what we know of what was there before.
struct Root {
    QdiscTree present;
    std::optional<SavedQdisc> saved;

    // Ours is there. Our handle alone does not make it so: another instance has the same, which read_root() looks for.
    [[nodiscard]] bool is_ours() const;
    // What is there is what a killed command left between ours and what was there before.
    [[nodiscard]] bool was_interrupted() const;
    [[nodiscard]] FoundQueue found() const; // without us
    // Against this plan; healthy if it is as the plan wants it.
    [[nodiscard]] QueueReport report(const QueuePlan& plan) const;
};
Result<Root> read_root(const QdiscSlot& slot);

// BadInput if the root must not be replaced, or could not be restored. `replace`: one that the administrator has
// configured may be.
Result<void> check_replaceable(const Root& root, const QdiscSlot& slot, bool replace);

// Said where ours goes and its record is lost.
inline constexpr const char* what_was_there_is_lost = "what its root qdisc was before kudo-agent's is not known any "
                                                      "more (the pins were deleted); the kernel's default is "
                                                      "there now";

// Makes the root what the plan says. If that fails, what was there before is restored where possible.
Result<QueueReport> ensure_root(const QdiscSlot& slot, const QueuePlan& plan, bool replace);
// Restores what was there and forgets it. True if there was anything.
Result<bool> restore_root(const QdiscSlot& slot);

} // namespace kudo
