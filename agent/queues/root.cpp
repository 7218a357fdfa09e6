// SPDX-License-Identifier: MIT
#include "agent/queues/root.h"

#include <linux/pkt_sched.h>

#include <algorithm>

#include <fmt/format.h>
#include <spdlog/spdlog.h>

namespace kudo {

namespace fs = std::filesystem;

namespace {

// linux/pkt_sched.h >= 6.8: fq shows it if it looks at skb->priority.
constexpr uint16_t tca_fq_priomap = TCA_FQ_HORIZON_DROP + 1;

tl::unexpected<Error> made_by_admin(const Place& place, const std::string& kind) {
    return bad_input(fmt::format("{}: its queue, {}, was made by an admin; --replace-qdisc replaces it until disable",
                                 place.name, kind));
}

// May what stands there be replaced, and what is to be put back then?
Result<std::vector<TcObject>> what_to_save(const Place& place, const Root& root, bool replace) {
    if (root.is_ours() || root.was_interrupted()) {
        if (!root.memory->saved.empty() && !replace) return made_by_admin(place, root.memory->found.kind);
        return root.memory->saved;
    }
    if (!root.standing.found().made_by_admin) return std::vector<TcObject>{};
    if (!replace) return made_by_admin(place, root.standing.root()->kind);
    auto saved = KUDO_TRY(savable(place.index, root.standing.qdiscs, root.standing.classes).in(place.name));
    return saved;
}

// All that stands there is of what was saved: a command was killed while it put that back.
bool is_part_of(const QdiscTree& standing, const std::vector<TcObject>& saved) {
    return std::ranges::all_of(standing.qdiscs, [&](const TcObject& qdisc) {
        return qdisc.handle == 0 || qdisc.parent == TC_H_INGRESS ||
               std::ranges::any_of(saved, [&](const TcObject& object) {
                   return !object.is_class && object.handle == qdisc.handle && object.parent == qdisc.parent &&
                          object.kind == qdisc.kind;
               });
    });
}

// An Error with ENOENT: the kernel does not have a kind of queue that this needs; some of it may have been made.
Result<void> build(uint32_t interface, const QueueTree& tree) {
    for (const QueueTree::Step& step : tree.steps) {
        auto made = put(interface, step.object);
        if (!made && made.error().number == ENOENT && step.substitute) made = put(interface, *step.substitute);
        if (!made) return made;
    }
    return {};
}

// The kernel's default now may be another than it was: its sysctl can have changed since the interface came up.
Result<void> put_back_default(const Place& place, const FoundQueue& found) {
    KUDO_TRY(remove_root_qdisc(place.index));
    auto standing = KUDO_TRY(read_qdisc_tree(place.index));
    const std::string now = standing.found().root;
    if (now == found.root || now == "none" || now == "noqueue" || now == "mq" || found.root == "none" ||
        found.root == "noqueue" || found.root == "mq")
        return {};
    return put(place.index, {.parent = TC_H_ROOT, .kind = found.root});
}

Result<void> put_back(const fs::path& folder, const Place& place, const Root& root) {
    if (!root.is_ours() && !root.was_interrupted()) return {}; // somebody has replaced it since, or we never did
    SavedQdisc memory = *root.memory;
    memory.restoring = true;
    KUDO_TRY(save_queue_memory(folder, place.memory, memory));
    if (memory.saved.empty()) return put_back_default(place, memory.found);
    KUDO_TRY(remove_root_qdisc(place.index));
    for (const TcObject& object : memory.saved) {
        auto made = put(place.index, object);
        if (!made && made.error().number == ENODEV) return {}; // the interface is gone, and its queue with it
        if (!made) return made;
    }
    return {};
}

// Builds the first candidate that the kernel has.
Result<const QueueTree*> build_best(const Place& place, const QueuePlan& plan) {
    for (const QueueTree& tree : plan.candidates) {
        auto standing = KUDO_TRY(read_qdisc_tree(place.index));
        // Of another shape: the kernel does not turn one kind into another under the same handle.
        if (standing.root() && standing.root()->handle == queue_handle) KUDO_TRY(remove_root_qdisc(place.index));
        auto built = build(place.index, tree);
        if (built) return &tree;
        if (built.error().number != ENOENT) return fail(std::move(built.error()).in(place.name));
        spdlog::debug("{}: no {}: {}", place.name, queue_kind_name(tree.kind), built.error().message);
    }
    return bad_input(
        fmt::format("{}: this kernel does not have the queues that {} needs", place.name,
                    plan.candidates.size() == 1 ? queue_kind_name(plan.candidates.front().kind) : "a rate"));
}

// Which of the candidates stands there, by its root.
const QueueTree* standing_tree(const QueuePlan& plan, const QdiscTree& standing) {
    for (const QueueTree& tree : plan.candidates) {
        const bool all = std::ranges::all_of(tree.steps, [&](const QueueTree::Step& step) {
            const auto is = [&](const TcObject& wanted) {
                return std::ranges::any_of(wanted.is_class ? standing.classes : standing.qdiscs,
                                           [&](const TcObject& object) {
                                               return object.handle == wanted.handle && object.kind == wanted.kind;
                                           });
            };
            return is(step.object) || (step.substitute && is(*step.substitute));
        });
        if (all) return &tree;
    }
    return nullptr;
}

} // namespace

const TcObject* QdiscTree::root() const {
    const auto found = std::ranges::find(qdiscs, static_cast<uint32_t>(TC_H_ROOT), &TcObject::parent);
    return found == qdiscs.end() ? nullptr : &*found;
}

FoundQueue QdiscTree::found() const {
    FoundQueue result;
    if (!root()) return result;
    result.root = result.kind = root()->kind;
    result.made_by_admin = root()->handle != 0;
    if (root()->kind == "mq") {
        const auto below = [&](uint32_t id) { return (id & TC_H_MAJ_MASK) == root()->handle; };
        const auto leaf = std::ranges::find_if(qdiscs, [&](const TcObject& qdisc) { return below(qdisc.parent); });
        if (leaf != qdiscs.end()) result.kind = leaf->kind;
        result.transmit_queues = static_cast<uint32_t>(
            std::ranges::count_if(classes, [&](const TcObject& queue) { return below(queue.handle); }));
    }
    result.honours_marks =
        result.kind == "pfifo_fast" || result.kind == "prio" || result.kind == "cake" ||
        std::ranges::any_of(qdiscs, [](const TcObject& qdisc) {
            return qdisc.kind == "fq" && !find_attribute(qdisc.options, tca_fq_priomap).empty();
        });
    return result;
}

Result<QdiscTree> read_qdisc_tree(uint32_t interface) {
    auto qdiscs = KUDO_TRY(list_qdiscs(interface));
    auto classes = list_classes(interface);
    if (!classes && classes.error().number != ENODEV) return fail(std::move(classes.error()));
    return QdiscTree{std::move(qdiscs), classes ? std::move(*classes) : std::vector<TcObject>{}};
}

bool Root::is_ours() const {
    return memory && standing.root() && standing.root()->handle == queue_handle;
}

bool Root::was_interrupted() const {
    if (!memory || is_ours()) return false;
    const bool is_default = !standing.found().made_by_admin;
    if (memory->restoring) return is_default || is_part_of(standing, memory->saved);
    // Between taking an older one of ours away and making the next.
    return memory->built.empty() && is_default && !memory->saved.empty();
}

FoundQueue Root::found() const {
    return is_ours() || was_interrupted() ? memory->found : standing.found();
}

const QueueTree* Root::made_for(const QueuePlan& plan) const {
    if (!memory || memory->plan != plan.text || memory->built.empty() || memory->built != standing.print())
        return nullptr;
    return standing_tree(plan, standing);
}

Result<Root> read_root(const fs::path& folder, const Place& place) {
    auto standing = KUDO_TRY(read_qdisc_tree(place.index));
    auto memory = KUDO_TRY(load_queue_memory(folder, place.memory));
    return Root{std::move(standing), std::move(memory)};
}

Result<void> check_replaceable(const Root& root, const Place& place, bool replace) {
    auto saved = KUDO_TRY(what_to_save(place, root, replace));
    return {};
}

Result<bool> restore_root(const fs::path& folder, const Place& place) {
    auto root = KUDO_TRY(read_root(folder, place));
    if (!root.memory) return false;
    KUDO_TRY(put_back(folder, place, root));
    KUDO_TRY(forget_queue_memory(folder, place.memory));
    return true;
}

Result<EnsuredRoot> ensure_root(const fs::path& folder, const Place& place, const QueuePlan& plan, bool replace) {
    auto root = KUDO_TRY(read_root(folder, place));
    EnsuredRoot result;
    result.report.why = plan.why;
    result.report.found = root.found().text();
    if (plan.candidates.empty()) {
        auto restored = KUDO_TRY(restore_root(folder, place));
        auto standing = KUDO_TRY(read_qdisc_tree(place.index));
        result.report.changed = restored;
        result.report.found = standing.found().text();
        result.report.chosen = standing.found().kind;
        return result;
    }
    if (const QueueTree* tree = root.made_for(plan)) {
        result.report.chosen = queue_kind_name(tree->kind);
        result.report.why = plan.why_with(*tree);
        result.priorities = tree->priorities;
        return result;
    }
    auto saved = KUDO_TRY(what_to_save(place, root, replace));
    SavedQdisc next;
    next.plan = plan.text;
    next.found = root.found();
    next.saved = std::move(saved);
    KUDO_TRY(save_queue_memory(folder, place.memory, next));
    auto tree = build_best(place, plan);
    if (!tree) {
        if (auto back = restore_root(folder, place); !back) spdlog::debug("{}", back.error().message);
        return fail(std::move(tree.error()));
    }
    auto built = KUDO_TRY(read_qdisc_tree(place.index));
    next.built = built.print();
    KUDO_TRY(save_queue_memory(folder, place.memory, next));
    result.report.found = next.found.text();
    result.report.chosen = queue_kind_name((*tree)->kind);
    result.report.why = plan.why_with(**tree);
    result.report.changed = true;
    result.priorities = (*tree)->priorities;
    return result;
}

} // namespace kudo
