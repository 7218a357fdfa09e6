// SPDX-License-Identifier: MIT
#include "agent/queue_root.h"

#include <linux/pkt_sched.h>

#include <algorithm>

#include <fmt/format.h>
#include <spdlog/spdlog.h>

namespace kudo {

namespace fs = std::filesystem;

namespace {

// May what stands there be replaced, and what is to be put back then?
Result<std::vector<TcObject>> what_to_save(const Place& place, const Standing& standing, bool replace) {
    if (!standing.found().made_by_admin || standing.root_is_ours()) return std::vector<TcObject>{};
    const std::string where = fmt::format("{}: its queue, {}, was made by an admin", place.name, standing.root()->kind);
    if (!replace) return bad_input(where + "; --replace-qdisc replaces it until disable");
    auto saved = savable(place.index, standing.qdiscs, standing.classes);
    if (!saved) return fail(std::move(saved.error()).in(where));
    return saved;
}

// An Error with ENOENT: the kernel does not have this kind of queue, and nothing is different.
Result<void> build(uint32_t interface, const QueueTree& tree) {
    for (const QueueTree::Step& step : tree.steps) {
        auto made = put(interface, step.object);
        if (!made && made.error().number == ENOENT && step.substitute) made = put(interface, *step.substitute);
        if (!made) return made;
    }
    if (tree.kind != QueueKind::Fq) return {};
    auto qdiscs = list_qdiscs(interface);
    if (!qdiscs) return fail(std::move(qdiscs.error()));
    if (std::ranges::none_of(*qdiscs, [](const TcObject& qdisc) { return qdisc.kind == "fq" && has_bands(qdisc); }))
        return fail("fq looks at marks since Linux 6.8 only", ENOENT);
    return {};
}

Result<void> put_back(const fs::path& folder, const Place& place, QueueMemory memory) {
    auto standing = read_standing(place.index);
    if (!standing) return fail(std::move(standing.error()));
    if (!standing->root_is_ours() && !memory.restoring) return {}; // somebody has replaced it since, or we never did
    memory.restoring = true;
    KUDO_TRY(save_queue_memory(folder, place.memory, memory));
    KUDO_TRY(remove_root_qdisc(place.index));
    for (const TcObject& object : memory.saved)
        KUDO_TRY(put(place.index, object));
    return {};
}

// Builds the first candidate that the kernel has.
Result<const QueueTree*> build_best(const Place& place, const QueuePlan& plan) {
    for (const QueueTree& tree : plan.candidates) {
        auto standing = read_standing(place.index);
        if (!standing) return fail(std::move(standing.error()));
        // Of another shape: the kernel does not turn one kind into another under the same handle.
        if (standing->root_is_ours()) KUDO_TRY(remove_root_qdisc(place.index));
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
const QueueTree* standing_tree(const QueuePlan& plan, const Standing& standing) {
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

const TcObject* Standing::root() const {
    const auto found = std::ranges::find(qdiscs, static_cast<uint32_t>(TC_H_ROOT), &TcObject::parent);
    return found == qdiscs.end() ? nullptr : &*found;
}

FoundQueue Standing::found() const {
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
        std::ranges::any_of(qdiscs, [](const TcObject& qdisc) { return qdisc.kind == "fq" && has_bands(qdisc); });
    return result;
}

Result<Standing> read_standing(uint32_t interface) {
    auto qdiscs = list_qdiscs(interface);
    if (!qdiscs) return fail(std::move(qdiscs.error()));
    auto classes = list_classes(interface);
    if (!classes && classes.error().number != ENODEV) return fail(std::move(classes.error()));
    return Standing{std::move(*qdiscs), classes ? std::move(*classes) : std::vector<TcObject>{}};
}

FoundQueue Root::found() const {
    if (!standing.root_is_ours()) return standing.found();
    return memory ? memory->found : FoundQueue{};
}

const QueueTree* Root::made_for(const QueuePlan& plan) const {
    if (!memory || memory->plan != plan.text || memory->built.empty() || memory->built != standing.print())
        return nullptr;
    return standing_tree(plan, standing);
}

Result<Root> read_root(const fs::path& folder, const Place& place) {
    auto standing = read_standing(place.index);
    if (!standing) return fail(std::move(standing.error()));
    auto memory = load_queue_memory(folder, place.memory);
    if (!memory) return fail(std::move(memory.error()));
    return Root{std::move(*standing), std::move(*memory)};
}

Result<void> check_replaceable(const Root& root, const Place& place, bool replace) {
    if (root.memory && (root.standing.root_is_ours() || root.memory->restoring)) return {};
    auto saved = what_to_save(place, root.standing, replace);
    if (!saved) return fail(std::move(saved.error()));
    return {};
}

Result<bool> restore_root(const fs::path& folder, const Place& place) {
    auto memory = load_queue_memory(folder, place.memory);
    if (!memory) return fail(std::move(memory.error()));
    if (!*memory) return false;
    KUDO_TRY(put_back(folder, place, **memory));
    KUDO_TRY(forget_queue_memory(folder, place.memory));
    return true;
}

Result<EnsuredRoot> ensure_root(const fs::path& folder, const Place& place, const QueuePlan& plan, bool replace) {
    auto root = read_root(folder, place);
    if (!root) return fail(std::move(root.error()));
    EnsuredRoot result;
    result.report.why = plan.why;
    result.report.found = root->found().text();
    if (plan.candidates.empty()) {
        auto restored = restore_root(folder, place);
        if (!restored) return fail(std::move(restored.error()));
        auto standing = read_standing(place.index);
        if (!standing) return fail(std::move(standing.error()));
        result.report.changed = *restored;
        result.report.found = standing->found().text();
        result.report.chosen = standing->found().kind;
        return result;
    }
    if (const QueueTree* tree = root->made_for(plan)) {
        result.report.chosen = queue_kind_name(tree->kind);
        result.priorities = tree->priorities;
        return result;
    }
    if (root->memory && root->memory->restoring) { // killed while it put back what stood there
        KUDO_TRY(put_back(folder, place, *root->memory));
        root = read_root(folder, place);
        if (!root) return fail(std::move(root.error()));
    }
    QueueMemory next;
    next.plan = plan.text;
    next.found = root->found();
    if (root->standing.root_is_ours() && root->memory) {
        next.saved = root->memory->saved;
    } else {
        auto saved = what_to_save(place, root->standing, replace);
        if (!saved) return fail(std::move(saved.error()));
        next.saved = std::move(*saved);
    }
    KUDO_TRY(save_queue_memory(folder, place.memory, next));
    auto tree = build_best(place, plan);
    if (!tree) {
        if (auto back = restore_root(folder, place); !back) spdlog::debug("{}", back.error().message);
        return fail(std::move(tree.error()));
    }
    auto built = read_standing(place.index);
    if (!built) return fail(std::move(built.error()));
    next.built = built->print();
    KUDO_TRY(save_queue_memory(folder, place.memory, next));
    result.report.found = next.found.text();
    result.report.chosen = queue_kind_name((*tree)->kind);
    result.report.changed = true;
    result.priorities = (*tree)->priorities;
    return result;
}

} // namespace kudo
